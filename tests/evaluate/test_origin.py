"""A pack is evaluated with the texts and the recipe that it was made with."""

from dataclasses import replace

import msgspec
import pytest

from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.origin import check_corpus, start_and_share
from vagus_server.packs.corpus import CORPUS, load_corpus
from vagus_server.packs.pack import Pack

BUNDLED = CORPUS.parent / "packs" / "smollm2-135m-instruct"


def with_facts(evidence: Evidence, **facts: str) -> Pack:
    """The planted pack, with what it says of its making."""
    pack = evidence.pack
    changed = object.__new__(Pack)
    changed.__dict__.update(pack.__dict__)
    changed.manifest = msgspec.structs.replace(pack.manifest, provenance=facts)
    return changed


def test_what_the_pack_says_holds(evidence: Evidence) -> None:
    pack = with_facts(evidence, story_start="20", neutral_share="0.75")
    assert start_and_share(pack, None, None) == (20, 0.75)
    assert start_and_share(pack, 20, 0.75) == (20, 0.75)
    with pytest.raises(ValueError, match="was made with --start 20, not 50"):
        start_and_share(pack, 50, None)
    with pytest.raises(ValueError, match=r"was made with --neutral-share 0\.75, not 0\.5"):
        start_and_share(pack, None, 0.5)


def test_of_a_pack_that_does_not_say_the_defaults_hold(evidence: Evidence) -> None:
    pack = with_facts(evidence)
    assert start_and_share(pack, None, None) == (50, 0.5)
    assert start_and_share(pack, 20, 0.0) == (20, 0.0)


@pytest.mark.parametrize("said", ["", "many", "inf", "nan"])
def test_a_fact_that_is_no_number_is_refused(evidence: Evidence, said: str) -> None:
    with pytest.raises(ValueError, match="which is no number"):
        start_and_share(with_facts(evidence, story_start=said), None, None)


def test_other_texts_are_refused(evidence: Evidence) -> None:
    check_corpus(with_facts(evidence), evidence.corpus)
    check_corpus(with_facts(evidence, corpus_sha256=evidence.corpus.digest), evidence.corpus)
    with pytest.raises(ValueError, match="made of other texts"):
        check_corpus(with_facts(evidence, corpus_sha256="1" * 64), evidence.corpus)
    concepts = evidence.corpus.concepts
    more = replace(evidence.corpus, concepts=concepts | {"odd": next(iter(concepts.values()))})
    with pytest.raises(ValueError, match="lacks concepts of the corpus: odd"):
        check_corpus(evidence.pack, more)


def test_the_bundled_pack_says_what_it_was_made_with() -> None:
    pack = Pack.load(BUNDLED)
    check_corpus(pack, load_corpus())
    facts = pack.manifest.provenance
    assert start_and_share(pack, None, None) == (50, 0.5)
    assert facts["activations"].endswith(f"from token {facts['story_start']} on")
    assert facts["neutral_components"] == "of neutral text means, 50% of variance"
