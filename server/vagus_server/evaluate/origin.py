"""What a pack says of its making, held against what it is to be evaluated with."""

from math import isfinite, nan

from vagus_server.extract.measure import STORY_START
from vagus_server.packs.corpus import Corpus
from vagus_server.packs.pack import Pack

#: Of packs that do not say: the recipe's defaults.
_START, _SHARE = STORY_START, 0.5


def check_corpus(pack: Pack, corpus: Corpus) -> None:
    """Raises ValueError where the pack was not made of this corpus, or lacks its concepts."""
    if missing := sorted(set(corpus.concepts) - set(pack.names)):
        raise ValueError(f"the pack lacks concepts of the corpus: {', '.join(missing[:5])}")
    digest = pack.manifest.provenance.get("corpus_sha256")
    if digest is not None and digest != corpus.digest:
        raise ValueError(
            f"the pack was made of other texts: its corpus has the SHA-256 {digest[:64]}, this "
            f"one {corpus.digest}"
        )


def start_and_share(pack: Pack, start: int | None, share: float | None) -> tuple[int, float]:
    """First token of a story that is averaged, and share of neutral variance projected out.

    Args:
        pack: what it says of them is what holds.
        start: what is asked for; None takes the pack's.
        share: likewise.

    Raises:
        ValueError: what is asked for is not what the pack was made with.
    """
    return (
        int(_agreed(pack, "story_start", "--start", start, _START)),
        _agreed(pack, "neutral_share", "--neutral-share", share, _SHARE),
    )


def _agreed(pack: Pack, fact: str, option: str, asked: float | None, default: float) -> float:
    said = pack.manifest.provenance.get(fact)
    if said is None:
        return default if asked is None else asked
    try:
        value = float(said)
    except ValueError:
        value = nan
    if not isfinite(value):
        raise ValueError(f"the pack's {fact} is {said[:40]!r}, which is no number")
    if asked is not None and asked != value:
        raise ValueError(f"the pack was made with {option} {said[:40]}, not {asked}")
    return value
