"""Which readouts a request wants."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vagus.v1 import readout_pb2 as pb


@dataclass(frozen=True, slots=True)
class Readouts:
    """Which concepts are read, at which sites and tokens, and which numbers come back.

    Attributes:
        concepts: Names; or k: for each token the k concepts with the largest z-score; or None:
            all of the pack.
        sites: Readout sites. Empty: the pack's readout site.
        prompt: Read every prompt token, which costs computing the prompt anew.
        last_prompt_token: Read the prompt's last token.
        generation: Read every generated token. When none of these three is set, generating
            calls read the generation and reading calls the prompt.
        before: Return projections before the site's own steering.
        after: Return projections after it. The default when neither is set.
        raw: Return raw projections.
        z_score: Return z-scores. The default when neither is set.
    """

    concepts: Sequence[str] | int | None = None
    sites: Sequence[int] = ()
    prompt: bool = False
    last_prompt_token: bool = False
    generation: bool = False
    before: bool = False
    after: bool = False
    raw: bool = False
    z_score: bool = False


ReadoutsLike: TypeAlias = Readouts | Sequence[str] | int
"""A selection; or only the concepts of one: their names (a string is one name), or k."""


def selection_message(
    readouts: ReadoutsLike | None, *, default_tokens: Literal["generation", "prompt"]
) -> pb.ReadoutSelection | None:
    """The proto form of a selection; None when nothing was selected.

    Raises:
        TypeError: The selection is a bool, which would pass for k = 1.
    """
    if readouts is None:
        return None
    if isinstance(readouts, bool):
        raise TypeError("readouts must be names, a number of concepts or Readouts, not a bool")
    chosen = readouts if isinstance(readouts, Readouts) else Readouts(readouts)
    any_tokens = chosen.prompt or chosen.last_prompt_token or chosen.generation
    message = pb.ReadoutSelection(
        sites=chosen.sites,
        prompt=chosen.prompt or (not any_tokens and default_tokens == "prompt"),
        last_prompt_token=chosen.last_prompt_token,
        generation=chosen.generation or (not any_tokens and default_tokens == "generation"),
        before=chosen.before,
        after=chosen.after,
        raw=chosen.raw,
        z_score=chosen.z_score,
    )
    if isinstance(chosen.concepts, int):
        message.top_k = chosen.concepts
    elif chosen.concepts is not None:
        names = [chosen.concepts] if isinstance(chosen.concepts, str) else chosen.concepts
        message.names.CopyFrom(pb.ConceptNames(names=names))
    return message
