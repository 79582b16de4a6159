"""Readout messages: z-scores, top-k, before and after."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from support.small_pack import NAMES, small_pack
from vagus.v1 import readout_pb2 as pb
from vagus.v1.readout_pb2 import ConceptNames, ReadoutSelection
from vagus_server.readouts.render import AFTER, BEFORE, Renderer
from vagus_server.readouts.selection import Selection, resolve_selection

PACK = small_pack()
SERVED = (1, 2)
ROW = np.random.default_rng(7).normal(size=(len(SERVED), len(NAMES), 2)).astype(np.float32)


def select(**fields: object) -> Selection:
    return resolve_selection(
        ReadoutSelection(**({"generation": True} | fields)), PACK, SERVED, "readouts"
    )


def renderer(**fields: object) -> Renderer:
    return Renderer(select(**fields), PACK, SERVED)


def token_of(renderer: Renderer, position: int, row: np.ndarray) -> pb.TokenReadout:
    message = pb.TokenReadout()
    renderer.fill(message, position, row)
    return message


def z(site: int, when: int) -> np.ndarray:
    """Z-scores of ROW by their definition."""
    mean, deviation = PACK.reference_mean[:, site], PACK.reference_std[:, site]
    return (ROW[SERVED.index(site), :, when] - mean) / deviation


def test_layout() -> None:
    layout = renderer(names=ConceptNames(names=["sad", "calm"]), sites=[2, 1]).layout()
    assert list(layout.concepts) == ["sad", "calm"]
    assert list(layout.sites) == [1, 2]
    assert layout.pack_digest == PACK.digest


def test_everything_of_all_concepts() -> None:
    everything = renderer(before=True, after=True, raw=True, z_score=True, sites=[1, 2])
    token = token_of(everything, 5, ROW)
    assert token.position == 5
    assert [s.site for s in token.sites] == [1, 2]
    for i, site in enumerate(token.sites):
        assert site.before == pytest.approx(ROW[i, :, BEFORE])
        assert site.after == pytest.approx(ROW[i, :, AFTER])
        assert site.before_z == pytest.approx(z(site.site, BEFORE))
        assert site.after_z == pytest.approx(z(site.site, AFTER))
        assert not site.concepts


@pytest.mark.parametrize("kind", ["raw", "z_score"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_only_what_was_asked_for(kind: str, when: str) -> None:
    (site,) = token_of(renderer(**{kind: True, when: True}), 0, ROW).sites
    wanted = when + ("_z" if kind == "z_score" else "")
    assert {field.name for field, _ in site.ListFields()} == {"site", wanted}


def test_named_concepts_come_in_the_callers_order() -> None:
    (site,) = token_of(renderer(names=ConceptNames(names=["sad", "calm"]), raw=True), 0, ROW).sites
    assert site.after == pytest.approx(ROW[1, [3, 0], AFTER])


@pytest.mark.parametrize("k", range(1, 5))
def test_top_k_by_z_after_steering_best_first(k: int) -> None:
    (site,) = token_of(renderer(top_k=k, raw=True, before=True), 0, ROW).sites
    best = np.argsort(-z(2, AFTER))[:k]
    assert list(site.concepts) == best.tolist()
    assert site.before == pytest.approx(ROW[1, best, BEFORE])
    assert not site.after_z


def test_ties_of_top_k_go_by_the_packs_order() -> None:
    row = np.zeros_like(ROW)
    row[1, :, AFTER] = PACK.reference_mean[:, 2]
    (site,) = token_of(renderer(top_k=3), 0, row).sites
    assert list(site.concepts) == [0, 1, 2]


def test_a_turns_mean_is_over_its_tokens_and_all_concepts() -> None:
    turn = renderer(top_k=1, raw=True).turn(3 * ROW, 3)
    assert turn.tokens == 3
    (site,) = turn.sites
    assert site.after == pytest.approx(ROW[1, :, AFTER])
    assert not site.concepts


def test_an_empty_turn_does_not_divide_by_zero() -> None:
    assert renderer().turn(np.zeros_like(ROW), 0).tokens == 0


def test_rows_are_not_changed() -> None:
    row = ROW.copy()
    token_of(renderer(before=True, raw=True, z_score=True), 0, row)
    assert np.array_equal(row, ROW)


@examples
@given(
    st.booleans(), st.booleans(), st.booleans(), st.booleans(),
    st.sampled_from([[], [1], [1, 2]]), st.integers(0, 4),
)  # fmt: skip
def test_the_size_of_an_answer_is_foreseen(
    before: bool, after: bool, raw: bool, z_score: bool, sites: list[int], top_k: int
) -> None:
    chosen = {"top_k": top_k} if top_k else {}
    fields = {"before": before, "after": after, "raw": raw, "z_score": z_score, **chosen}
    selection = select(sites=sites, **fields)
    token = token_of(Renderer(selection, PACK, SERVED), 100_000, ROW)
    answer = pb.TokenReadout.FromString(token.SerializeToString())
    assert answer.ByteSize() <= selection.answer_bytes(1) <= answer.ByteSize() + 80
