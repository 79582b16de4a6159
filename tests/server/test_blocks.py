"""Keys of the prefix cache: equal exactly where the device did the same to equal tokens."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from support.examples import examples
from support.programs import operation
from vagus_server.plugin.blocks import block_key
from vagus_server.plugin.wire import NO_END, Order, Range, order_to_extra_args
from vagus_server.steering.program import Envelope, Program
from vagus_server.steering.scope import joined

BLOCK = 4


def order(*scopes: tuple[Range, ...], length: float = 1.0, **fields: Any) -> Order:
    program = Program(tuple(operation(2, scope=s, length=length, **fields) for s in scopes))
    row_of = dict.fromkeys(program.contents, 1)
    return Order(program.order_operations(row_of), program.tables_digest)


def keys(asked: Order, blocks: int = 6) -> list[str | None]:
    return [block_key([(0, asked)], i * BLOCK, (i + 1) * BLOCK) for i in range(blocks)]


def test_blocks_without_steering_have_no_key() -> None:
    generation = order(((10, NO_END),))
    assert keys(generation)[:2] == [None, None]
    assert None not in keys(generation)[2:]
    assert keys(Order()) == [None] * 6


def test_a_generation_in_the_next_turns_prompt_has_another_key() -> None:
    """The text is the same; what the device did to it is not."""
    first, second = order(((8, NO_END),)), order(((16, NO_END),))
    assert keys(first)[2] is not None
    assert keys(second)[2] is None


def test_equal_programs_share_and_others_do_not() -> None:
    everywhere = ((0, NO_END),)
    stronger = order(everywhere, length=2.0)
    assert keys(order(everywhere)) == keys(order(everywhere))
    assert not set(keys(order(everywhere))) & set(keys(stronger))
    assert keys(order(((0, 8),)))[:2] == keys(order(everywhere))[:2]


def test_envelopes_are_told_by_where_they_stand() -> None:
    fading = order(((0, NO_END),), envelope=Envelope(8, 0.0, 4.0))
    before, later = keys(fading)[:2], keys(fading)[2:]
    assert before[0] == before[1]
    assert len(set(later)) == len(later)
    moved = order(((0, NO_END),), envelope=Envelope(12, 0.0, 4.0))
    assert keys(moved)[3:] == later[:3], "the same number of tokens after it began"


def test_envelopes_are_told_by_whose_they_are() -> None:
    plain, fading = (operation(2, envelope=e) for e in (None, Envelope(8, 0.0, 4.0)))
    other = operation(2, concept="sad")
    orders = []
    for operations in ((fading, other), (plain, replace(other, envelope=fading.envelope))):
        program = Program(operations)
        row_of = dict.fromkeys(program.contents, 1)
        orders.append(Order(program.order_operations(row_of), program.tables_digest))
    assert not set(keys(orders[0])) & set(keys(orders[1]))


SCOPES = st.lists(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=2).map(joined).map(tuple),
    min_size=1,
    max_size=3,
)


@examples
@given(SCOPES, SCOPES, st.integers(0, 3))
def test_keys_are_equal_exactly_where_flags_are(
    a: list[tuple[Range, ...]], b: list[tuple[Range, ...]], block: int
) -> None:
    """Of programs with the same operations."""

    def flags(scopes: list[tuple[Range, ...]]) -> list[list[bool]]:
        positions = range(block * BLOCK, (block + 1) * BLOCK)
        return [[any(x <= p < y for x, y in s) for s in scopes] for p in positions]

    b = (b * 3)[: len(a)]
    first, second = order(*a), order(*b)
    assert first.digest == second.digest
    equal = flags(a) == flags(b)
    assert (keys(first)[block] == keys(second)[block]) == equal
    assert (keys(first)[block] is None) == (not any(map(any, flags(a))))


class Far(tuple[Range, ...]):
    """Ranges that nobody goes through from the first one on."""

    def __iter__(self) -> Iterator[Range]:
        raise AssertionError("all of them are looked at")


def test_a_block_looks_at_the_ranges_near_it_alone() -> None:
    asked = order(*[tuple((i, i + 1) for i in range(0, 4096, 2))] * 8)
    far = [structs.replace(o, scope=Far(o.scope)) for o in asked.operations]
    late = structs.replace(asked, operations=tuple(far))
    assert block_key([(0, late)], 4000, 4004) == block_key([(0, asked)], 0, 4)
    assert block_key([(0, late)], 5000, 5004) is None


def test_vllm_hashes_blocks_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.v1.core import block_pool, kv_cache_utils

    from vagus_server.plugin import blocks

    for module in (kv_cache_utils, block_pool):
        name = "generate_block_hash_extra_keys"
        monkeypatch.setattr(module, name, getattr(module, name))  # put back afterwards
    blocks.install()
    installed = kv_cache_utils.generate_block_hash_extra_keys
    blocks.install()
    assert kv_cache_utils.generate_block_hash_extra_keys is installed
    assert block_pool.generate_block_hash_extra_keys is installed

    def extra(asked: Order | None, start: int) -> Any:
        parameters = SimpleNamespace(extra_args=asked and order_to_extra_args(asked))
        request: Any = SimpleNamespace(
            sampling_params=parameters,
            mm_features=[],
            lora_request=None,
            cache_salt="tenant",
            prompt_embeds=None,
        )
        return installed(request, start, start + BLOCK, 0)[0]

    generation = order(((8, NO_END),))
    assert extra(generation, 0) == (("cache_salt", "tenant"),)
    assert extra(generation, 4) is None
    assert extra(generation, 8) == (("vagus", block_key([(0, generation)], 8, 12)),)
    assert extra(None, 8) is None
    assert extra(Order(read=((0, NO_END),)), 8) is None
