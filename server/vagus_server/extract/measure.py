"""Runs texts through the engine and keeps what the recipe needs: means, replies, moments."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import vllm
from vllm.platforms import current_platform

from vagus_server.engine.settings import EngineSettings
from vagus_server.extract.bar import Bar
from vagus_server.extract.lengths import encode, wrong_length
from vagus_server.extract.means import TextMeans, text_key
from vagus_server.extract.offline import Job, OfflineEngine
from vagus_server.plugin.wire import NO_END

#: Leaves out the first 50 tokens of a story (paper, section 3, step 2).
STORY_START = 50
#: Position 0 is an attention sink; its residual would swamp every mean.
TEXT_START = 1
REPLY_TOKENS = 60
#: Texts between two points at which an extraction can be taken up again.
_CHUNK = 256


@dataclass(frozen=True)
class Reply:
    """A prompt in the chat template, and what the model answered at temperature 1."""

    prompt: list[int]
    reply: list[int]


@dataclass(frozen=True)
class Replies:
    """On-policy chat traffic."""

    replies: list[Reply]
    #: Mean |x| at positions that the model generated, float64 [sites].
    norms: np.ndarray
    positions: int


@dataclass(frozen=True)
class Reference:
    """Token-level statistics of projections on unit vectors, over the reference traffic."""

    #: float64 [concepts, sites].
    mean: np.ndarray
    std: np.ndarray
    positions: int


def means_settings(fingerprint: str, settings: EngineSettings, start: int) -> str:
    """What means depend on beside the texts: only under the same may they be used again.

    Args:
        fingerprint: of the model.
        settings: of the engine.
        start: first position averaged.
    """
    options = json.dumps(settings.engine_options, sort_keys=True, default=str)
    device = current_platform.device_type
    return repr((fingerprint, start, settings.dtype, vllm.__version__, device, options))


def text_means(
    engine: OfflineEngine,
    texts: Iterable[str],
    start: int,
    path: Path,
    settings: str,
    bar: Bar,
) -> TextMeans:
    """Mean residual of each text over its positions from `start` on.

    A text of fewer than twice as many tokens is averaged over its second half, without position 0.

    Args:
        engine: the model.
        texts: can be iterated more than once.
        start: first position averaged, 1 or more.
        path: where the means go, and what an earlier run measured is found.
        settings: what the means depend on beside the texts, see `means_settings`.
        bar: told of every text.

    Raises:
        ValueError: a text is too short or too long for the model.
    """
    keys = [text_key(settings, text) for text in texts]
    means = TextMeans.open(path, keys, engine.plugin.sites, engine.plugin.hidden_size)
    missing = means.missing.tolist()
    bar.update(len(keys) - len(missing))
    wanted = set(missing)
    remaining = ((i, text) for i, text in enumerate(texts) if i in wanted)
    while chunk := list(islice(remaining, _CHUNK)):
        ids = [encode(engine.tokenizer, text) for _, text in chunk]
        for (i, _), tokens in zip(chunk, ids, strict=True):
            if bad := wrong_length(len(tokens), engine.longest):
                raise ValueError(f"{path.name}, text {i + 1}: {bad}")
        jobs = [
            Job(tokens, spans=((first_averaged(len(tokens), start), NO_END),)) for tokens in ids
        ]
        done = []
        for one in engine.run(jobs):
            done.append((chunk[one.index][0], one.means[0], one.norms[0], int(one.counts[0])))
            bar.update()
        means.write(done)
    return means


def first_averaged(tokens: int, start: int) -> int:
    """First position that is averaged of a text of so many tokens, two or more."""
    return max(TEXT_START, min(start, tokens // 2))


def encode_chat(tokenizer: Any, prompt: str) -> list[int]:
    """Tokens of one user turn, up to where the reply begins.

    In the chat template; a model without one gets the text itself.
    """
    if not tokenizer.chat_template:
        return encode(tokenizer, prompt)
    messages = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def encode_prompts(engine: OfflineEngine, prompts: list[str], reply: int) -> list[list[int]]:
    """Tokens of chat prompts; raises ValueError where one leaves no room for `reply` tokens."""
    asked = [encode_chat(engine.tokenizer, prompt) for prompt in prompts]
    most = engine.longest - reply
    for number, tokens in enumerate(asked, 1):
        if not 0 < len(tokens) <= most:
            raise ValueError(
                f"chat prompt {number} has {len(tokens)} tokens; before a reply of {reply} the "
                f"model takes {most}"
            )
    return asked


def chat_replies(engine: OfflineEngine, prompts: list[str], seed: int, bar: Bar) -> Replies:
    """Lets the model answer, sampled from its whole distribution."""
    asked = encode_prompts(engine, prompts, REPLY_TOKENS)
    jobs = [
        Job(
            tokens,
            spans=((len(tokens), NO_END),),
            sampling={"max_tokens": REPLY_TOKENS, "temperature": 1.0, "seed": seed + i},
        )
        for i, tokens in enumerate(asked)
    ]
    replies: list[Reply] = [Reply(tokens, []) for tokens in asked]
    norms, positions = np.zeros(engine.plugin.sites), 0
    # In the order of the prompts: sums of floats depend on it.
    for done in sorted(engine.run(jobs), key=lambda one: one.index):
        replies[done.index] = Reply(asked[done.index], done.token_ids)
        if done.counts[0]:
            norms += done.norms[0] * done.counts[0]
            positions += int(done.counts[0])
        bar.update()
    if not positions:
        raise ValueError("the model answers no reference prompt with more than one token")
    return Replies(replies, norms / positions, positions)


def reference(engine: OfflineEngine, texts: list[str], replies: Replies, bar: Bar) -> Reference:
    """Reads the engine's readout vectors over texts, and over prompts with their replies.

    Position 0 of each is left out.
    """
    ids = [encode(engine.tokenizer, text) for text in texts]
    ids += [one.prompt + one.reply for one in replies.replies]
    engine.take_moments()
    for _ in engine.run(Job(tokens, read=((TEXT_START, NO_END),)) for tokens in ids):
        bar.update()
    positions, (sums, squares) = engine.take_moments()
    expected = sum(len(tokens) - TEXT_START for tokens in ids)
    if positions != expected:
        raise RuntimeError(f"{positions} positions were read, not {expected}")
    mean = sums / positions
    variance = np.maximum(squares / positions - mean**2, 0.0)
    return Reference(mean.T, np.sqrt(variance).T, positions)
