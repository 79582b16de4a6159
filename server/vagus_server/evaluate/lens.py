"""Check 5: the tokens that each vector raises and lowers, through the model's own unembedding."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.result import Figure, Null, Section, Table
from vagus_server.evaluate.statistics import share_interval

#: Tokens at the top that are searched for the concept's own words.
TOP = 20
_SHOWN = 8
_NULLS = 20
_UNEMBEDDINGS = ("lm_head.weight", "model.embed_tokens.weight")
_NORM = "model.norm.weight"
#: Model types whose final norm scales by 1 + weight, by transformers' modeling files.
_ONE_MORE = frozenset(
    {
        *("gemma", "gemma2", "gemma3", "gemma3_text", "vaultgemma"),
        *("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"),
    }
)


@dataclass(frozen=True)
class Lens:
    """What turns a direction into logits.

    Args:
        weights: unembedding with the final norm's scale in it, float32 [vocabulary, hidden].
        tokens: as text, [vocabulary].
        source: names of the tensors.
    """

    weights: np.ndarray
    tokens: list[str]
    source: str


def load_lens(folder: Path, tokenizer: Any) -> Lens | None:
    """Reads the weights by name; None where the model's files call them otherwise."""
    shards = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.exists():
        by_name = json.loads(index.read_text())["weight_map"]
        holding = {name: folder / shard for name, shard in by_name.items()}
    else:
        holding = {}
        for shard in shards:
            with safe_open(shard, framework="pt") as file:
                holding |= dict.fromkeys(file.keys(), shard)
    name = next((n for n in _UNEMBEDDINGS if n in holding), None)
    if name is None or _NORM not in holding:
        return None
    scale = _tensor(holding[_NORM], _NORM)
    if json.loads((folder / "config.json").read_text()).get("model_type") in _ONE_MORE:
        scale = 1 + scale
    weights = _tensor(holding[name], name) * scale
    count = min(len(weights), len(tokenizer))
    tokens = [tokenizer.decode([i]) for i in range(count)]
    return Lens(weights[:count], tokens, f"{_NORM}, {name}")


def _tensor(path: Path, name: str) -> np.ndarray:
    with safe_open(path, framework="pt") as file:
        tensor: np.ndarray = file.get_tensor(name).to(torch.float32).numpy()
    return tensor


def check(evidence: Evidence, lens: Lens | None) -> Section:
    """Looks for each concept's own words among the tokens that its vector raises most."""
    e = evidence
    section = Section(key="logit_lens", title="Logit lens", method=[])
    if lens is None:
        section.method.append(
            f"Not measured: the model's files hold neither of {', '.join(_UNEMBEDDINGS)}, or no "
            f"{_NORM}."
        )
        return section
    words = [own_words(name, e.corpus.concepts[name].banned) for name in e.names]
    order = _order(lens, e.vectors)
    hits = _hits(lens, order, words)
    names_alone = _hits(lens, order, [own_words(name, []) for name in e.names])
    nulls = [
        np.array([_hits(lens, _order(lens, v), words).mean() for v in vectors[:_NULLS]])
        for vectors in (e.random_vectors, e.shuffled_vectors)
    ]
    section.method.append(
        f"Vector at the readout site x scale of the final norm x unembedding ({lens.source}), "
        "skipping the layers between, so this is a glance and no proof. A concept counts where "
        f"one of the first {TOP} tokens begins like its name or one of the words that its "
        "stories had to avoid. Pieces of words count where they have four letters or more. "
        "(Of Llama-3.1-8B, 34 of 171 concepts had their own token among the first 20.)"
    )
    figures = [
        Figure(
            f"own word or a synonym among the first {TOP}",
            float(hits.mean()),
            share_interval(hits, e.rng()),
            Null(*nulls),
            percent=True,
            note=f"{hits.sum()} of {len(hits)}",
        ),
        Figure(
            f"own name among the first {TOP}",
            float(names_alone.mean()),
            share_interval(names_alone, e.rng()),
            percent=True,
            note=f"{names_alone.sum()} of {len(names_alone)}",
        ),
    ]
    section.figures.extend(figures)
    rows = [
        [name, _joined(lens, order[0][c]), _joined(lens, order[1][c])]
        for c, name in enumerate(e.names)
    ]
    section.tables.append(Table("Tokens of each concept", ["concept", "raised", "lowered"], rows))
    return section


def own_words(name: str, banned: Sequence[str]) -> list[str]:
    """Beginnings of a concept's name and of the words that its stories avoid."""
    words = [*re.findall(r"[a-z]+", name), *(w for w in banned if w.isalpha())]
    return [w if len(w) <= 5 else w[: max(5, len(w) - 3)] for w in words if len(w) > 2]


def named(token: str, words: list[str]) -> bool:
    """Whether a token begins one of the words, or begins like one."""
    piece = token.strip().lower()
    return any(
        piece.startswith(word) or (len(piece) >= 4 and word.startswith(piece)) for word in words
    )


def _order(lens: Lens, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The TOP tokens raised and lowered most, each [concepts, TOP]."""
    logits = vectors.astype(np.float32) @ lens.weights.T
    return _first(-logits), _first(logits)


def _first(values: np.ndarray) -> np.ndarray:
    few = np.argpartition(values, TOP, axis=1)[:, :TOP]
    order = np.argsort(np.take_along_axis(values, few, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(few, order, axis=1))


def _hits(lens: Lens, order: tuple[np.ndarray, np.ndarray], words: list[list[str]]) -> np.ndarray:
    return np.array(
        [
            any(named(lens.tokens[token], mine) for token in tokens)
            for tokens, mine in zip(order[0].tolist(), words, strict=True)
        ]
    )


def _joined(lens: Lens, tokens: np.ndarray) -> str:
    return " · ".join(lens.tokens[token].strip() or "␣" for token in tokens[:_SHOWN].tolist())
