"""What a pack's manifest tells of its making: recipe, versions, norms and the steering sweep."""

import json
import platform
from dataclasses import asdict

import numpy as np
import torch
import transformers

from vagus_server.packs import steering_sweep
from vagus_server.packs.activations import STORY_START
from vagus_server.packs.corpus import Corpus
from vagus_server.packs.traffic import REPLY_TOKENS, Traffic


def recipe_facts(
    corpus: Corpus, components: list[np.ndarray], share: float, seed: int
) -> dict[str, str]:
    """The recipe's settings and what they gave."""
    return {
        "corpus_sha256": corpus.digest,
        "corpus": (
            f"{len(corpus.stories)} stories, {len(corpus.concepts)} concepts, "
            f"{len(corpus.topics)} topics, {len(corpus.neutral)} neutral texts"
        ),
        "sites": "output of decoder layer l, 0-based, before the final norm",
        "activations": f"transformers, float32; stories averaged from token {STORY_START} on",
        "vectors": (
            "concept mean minus mean of concept means, neutral components projected out; "
            "not normalised"
        ),
        "neutral_components": f"token level, {share:.0%} of variance",
        "neutral_components_by_site": json.dumps([len(rows) for rows in components]),
        "position_0": "left out everywhere: it is an attention sink",
        "seed": str(seed),
        "versions": (
            f"python {platform.python_version()}, torch {torch.__version__}, "
            f"transformers {transformers.__version__}, numpy {np.__version__}"
        ),
    }


def traffic_facts(traffic: Traffic) -> dict[str, str]:
    """Norms by kind of position, and the reference population."""
    reference = traffic.reference

    def table(norms: np.ndarray) -> str:
        return json.dumps([round(float(norm), 1) for norm in norms])

    return {
        "residual_norms": (
            f"mean |x| at {traffic.chat_reply.count} positions that the model generated "
            f"({REPLY_TOKENS} a prompt, temperature 1, chat template)"
        ),
        "residual_norms_of_neutral_text": table(traffic.neutral.mean_norm),
        "residual_norms_of_chat_prompts": table(traffic.chat_prompt.mean_norm),
        "residual_norms_of_generation": table(traffic.chat_reply.mean_norm),
        "reference": (
            f"{reference.count} tokens: neutral texts {traffic.neutral.count}, chat prompts "
            f"{traffic.chat_prompt.count}, the model's replies {traffic.chat_reply.count}"
        ),
    }


def sweep_facts(
    points: list[steering_sweep.SitePoint], bounds: steering_sweep.Bounds
) -> dict[str, str]:
    """How the steering site was chosen, with every site's figures."""
    rows = []
    for point in points:
        row = {key: value for key, value in asdict(point).items() if key != "lift"}
        row |= {"mean_lift": point.mean_lift} | point.lift
        rows.append({key: round(value, 2) for key, value in row.items()})
    return {
        "steering_sweep_method": (
            f"{steering_sweep.STRENGTH} of the residual norm added at all positions, greedy, "
            f"{steering_sweep.REPLY_TOKENS} tokens; replies re-read unsteered at the readout "
            "site; lift in reference deviations of a token, against unsteered replies; random: "
            "the same with random directions"
        ),
        "steering_site_chosen": (
            f"greatest mean lift up to site {bounds.last_site} (the readout has to see what "
            f"steering does) with perplexity ratio <= {bounds.perplexity} and distinct ratio "
            f">= {bounds.distinct}"
        ),
        "steering_sweep": json.dumps(rows),
    }
