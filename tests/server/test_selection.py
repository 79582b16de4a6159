"""Readout selections: defaults, positions, and what does not fit an answer."""

import pytest

from support.small_pack import small_pack
from vagus.v1.readout_pb2 import ConceptNames, ReadoutSelection
from vagus_server.errors import ApiError
from vagus_server.plugin.wire import NO_END
from vagus_server.readouts.selection import Selection, resolve_selection
from vagus_server.services.answer import MAX_MESSAGE_BYTES, check_answer_size

PACK = small_pack()
SERVED = (1, 2)
READ_SITE = SERVED.index(PACK.readout_site)


def resolve(**fields: object) -> Selection:
    return resolve_selection(ReadoutSelection(**fields), PACK, SERVED, "readouts")


def refusal(**fields: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        resolve(**fields)
    return caught.value


def test_defaults() -> None:
    selection = resolve(generation=True)
    assert selection.concepts == (0, 1, 2, 3), "all of the pack"
    assert selection.sites == (READ_SITE,), "the pack's readout site"
    assert (selection.before, selection.after) == (False, True)
    assert (selection.raw, selection.z_score) == (False, True)
    assert selection.top_k == 0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"before": True}, (True, False)),
        ({"after": True}, (False, True)),
        ({"before": True, "after": True}, (True, True)),
    ],
)
def test_before_and_after(fields: dict[str, bool], expected: tuple[bool, bool]) -> None:
    selection = resolve(prompt=True, **fields)
    assert (selection.before, selection.after) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"raw": True}, (True, False)),
        ({"z_score": True}, (False, True)),
        ({"raw": True, "z_score": True}, (True, True)),
    ],
)
def test_raw_and_z(fields: dict[str, bool], expected: tuple[bool, bool]) -> None:
    selection = resolve(prompt=True, **fields)
    assert (selection.raw, selection.z_score) == expected


def test_names_keep_the_callers_order_and_sites_ascend() -> None:
    names = ConceptNames(names=["sad", "calm"])
    assert resolve(prompt=True, names=names).concepts == (3, 0)
    assert resolve(prompt=True, sites=[2, 1]).sites == (0, 1)


def test_top_k_reads_all_concepts() -> None:
    selection = resolve(prompt=True, top_k=4)
    assert (selection.top_k, selection.concepts) == (4, (0, 1, 2, 3))


@pytest.mark.parametrize(
    ("fields", "read", "prompt"),
    [
        ({"prompt": True}, ((0, 5),), range(5)),
        ({"last_prompt_token": True}, ((4, 5),), range(4, 5)),
        ({"generation": True}, ((4, NO_END),), range(0)),
        ({"prompt": True, "last_prompt_token": True}, ((0, 5),), range(5)),
        ({"last_prompt_token": True, "generation": True}, ((4, 5), (4, NO_END)), range(4, 5)),
        ({"prompt": True, "generation": True}, ((0, 5), (4, NO_END)), range(5)),
    ],
)
def test_positions(
    fields: dict[str, bool], read: tuple[tuple[int, int], ...], prompt: range
) -> None:
    """The first generated token's readout is the last prompt token's."""
    selection = resolve(**fields)
    assert selection.positions(5) == read
    assert selection.prompt_positions(5) == prompt


@pytest.mark.parametrize(
    ("fields", "reason", "metadata"),
    [
        ({}, "FIELD_INVALID", {"field": "readouts"}),
        ({"prompt": True, "names": ConceptNames()}, "FIELD_INVALID",
         {"field": "readouts.names.names"}),
        ({"prompt": True, "names": ConceptNames(names=["sad", "sad"])}, "FIELD_INVALID",
         {"field": "readouts.names.names[1]", "value": "sad"}),
        ({"prompt": True, "names": ConceptNames(names=["sad"] * 5)}, "FIELD_INVALID",
         {"field": "readouts.names.names", "value": "5", "limit": "4"}),
        ({"prompt": True, "names": ConceptNames(names=["Sad"])}, "CONCEPT_NOT_FOUND",
         {"field": "readouts.names.names[0]", "concept": "Sad", "nearest": "sad"}),
        ({"prompt": True, "top_k": 5}, "FIELD_INVALID",
         {"field": "readouts.top_k", "value": "5", "limit": "4"}),
        ({"prompt": True, "top_k": 0}, "FIELD_INVALID",
         {"field": "readouts.top_k", "value": "0", "limit": "4"}),
        ({"prompt": True, "sites": [4]}, "SITE_OUT_OF_RANGE",
         {"field": "readouts.sites[0]", "site": "4", "limit": "3"}),
        ({"prompt": True, "sites": [1, 1]}, "FIELD_INVALID",
         {"field": "readouts.sites[1]", "value": "1"}),
        ({"prompt": True, "sites": [1, 3]}, "NOT_IMPLEMENTED",
         {"field": "readouts.sites[1]",
          "feature": "reading site 3 (this server reads [1, 2])"}),
    ],
)  # fmt: skip
def test_refusals(fields: dict[str, object], reason: str, metadata: dict[str, str]) -> None:
    error = refusal(**fields)
    assert (error.reason, error.metadata) == (reason, metadata)


def test_readouts_that_do_not_fit_a_message_are_refused_beforehand() -> None:
    selection = resolve(prompt=True, before=True, after=True, raw=True, z_score=True)
    most = MAX_MESSAGE_BYTES // selection.answer_bytes(1)
    check_answer_size(selection, most, "readouts")
    with pytest.raises(ApiError) as caught:
        check_answer_size(selection, most + 1, "readouts")
    assert caught.value.metadata["field"] == "readouts"
    assert int(caught.value.metadata["value"]) > int(caught.value.metadata["limit"])
