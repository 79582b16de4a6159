"""What a pack's manifest tells of its making: recipe, versions, norms and the steering sweep."""

import json
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np
import torch
import transformers
import vllm

import vagus_server
from vagus_server.extract import sweep
from vagus_server.extract.means import TextMeans
from vagus_server.extract.measure import REPLY_TOKENS, TEXT_START, Reference, Replies


def created() -> str:
    """The time of making, RFC 3339; SOURCE_DATE_EPOCH stands for it where builds repeat."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(given), UTC) if given else datetime.now(UTC)
    return now.isoformat(timespec="seconds")


def recipe_facts(
    dtype: str, start: int, components: list[np.ndarray], share: float, person: bool, seed: int
) -> dict[str, str]:
    """The recipe's settings and what they gave.

    Args:
        dtype: number type of the activations.
        start: first token of a story that is averaged.
        components: the neutral components of every site.
        share: of the neutral texts' variance that these explain.
        person: whether the direction of the person who tells was projected out as well.
        seed: of all that was drawn.
    """
    return {
        "sites": "output of decoder layer l, 0-based, before the final norm",
        "activations": f"vLLM, {dtype}; stories averaged from token {start} on",
        "vectors": (
            "concept mean minus mean of concept means, neutral components projected out; "
            "not normalised"
        ),
        "neutral_components": f"of neutral text means, {share:.0%} of variance",
        "neutral_components_by_site": json.dumps([len(rows) for rows in components]),
        "position_0": "left out everywhere: it is an attention sink",
        "seed": str(seed),
        "story_start": str(start),
        "neutral_share": str(share),
        "person_projected_out": "yes" if person else "no",
        "versions": (
            f"vagus {vagus_server.__version__}, vllm {vllm.__version__}, "
            f"python {platform.python_version()}, torch {torch.__version__}, "
            f"transformers {transformers.__version__}, numpy {np.__version__}"
        ),
    }


def traffic_facts(neutral: TextMeans, replies: Replies, reference: Reference) -> dict[str, str]:
    """Norms by kind of position, and the reference population."""

    def table(norms: np.ndarray) -> str:
        return json.dumps([round(float(norm), 1) for norm in norms])

    return {
        "residual_norms": (
            f"mean |x| at {replies.positions} positions that the model generated "
            f"(up to {REPLY_TOKENS} a prompt, temperature 1, chat template)"
        ),
        "residual_norms_of_neutral_text": table(neutral.mean_norm),
        "residual_norms_of_generation": table(replies.norms),
        "reference": (
            f"{reference.positions} tokens from position {TEXT_START} on: {len(neutral.array)} "
            f"neutral texts, {len(replies.replies)} chat prompts with the model's replies"
        ),
    }


def sweep_facts(
    points: list[sweep.SitePoint], bounds: sweep.Bounds, strength: float
) -> dict[str, str]:
    """How the steering site was chosen, with every site's figures."""
    rows = []
    for point in points:
        row = {key: value for key, value in asdict(point).items() if key != "lift"}
        row |= {"mean_lift": point.mean_lift} | point.lift
        # JSON has no NaN: a site at which a program left no reply to compare has nulls.
        rows.append({k: None if np.isnan(v) else round(v, 2) for k, v in row.items()})
    return {
        "steering_sweep_method": (
            f"{strength} of the residual norm added at all positions, greedy, "
            f"{sweep.REPLY_TOKENS} tokens; replies re-read unsteered at the readout "
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
