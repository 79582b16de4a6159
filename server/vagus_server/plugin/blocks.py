"""Keys of the prefix cache: blocks are shared exactly where the device did the same.

vLLM's hash of a block covers its tokens and all blocks before it. The device did more than the
tokens say where an operation was in scope, so such a block's hash also covers what the tables
hold of the program, the flags of each of its tokens and where its envelopes stand. Then equal
programs share all, a program that steers the generation alone shares the prompt with plain
traffic, and generated text that comes back in the next turn's prompt, where the program has
another scope, is computed anew.
"""

import hashlib
from typing import Any

import numpy as np

from vagus_server.plugin import pin
from vagus_server.plugin.course import Course, Segments, pieces
from vagus_server.plugin.ranges import touching
from vagus_server.plugin.wire import Order, order_from_sampling_params

_PARAMETERS = ("request", "start_token_idx", "end_token_idx", "start_mm_idx")
_TAG = "vagus"
#: Attribute of vLLM's Request.
COURSE = "vagus_course"


def block_key(segments: Segments, start: int, end: int) -> str | None:
    """What the block at [start, end) depends on beside its tokens; None for nothing."""
    keys = [
        (first - start, key)
        for first, last, order in pieces(segments, start, end)
        if (key := _key(order, first, last)) is not None
    ]
    if len(keys) == 1 and sum(1 for _ in pieces(segments, start, end)) == 1:
        return keys[0][1]
    return hashlib.sha256(repr(keys).encode()).hexdigest() if keys else None


def _key(order: Order, start: int, end: int) -> str | None:
    """The same for positions under one order."""
    if not order.operations:
        return None
    flags = np.zeros(end - start, dtype=np.int32)
    for p, operation in enumerate(order.operations):
        for first, last in touching(operation.scope, start, end):
            flags[max(first - start, 0) : max(last - start, 0)] |= 1 << p
    if not flags.any():
        return None
    digest = hashlib.sha256(order.digest + flags.tobytes())
    for operation in order.operations:
        envelope = operation.envelope
        if envelope is not None:
            since = start - envelope.origin if end > envelope.origin else None
            digest.update(repr((since, envelope.ramp, envelope.half_life)).encode())
    return digest.hexdigest()


def install() -> None:
    """Makes vLLM's block hashes cover programs. Runs in the engine core, more than once."""
    from vllm.v1.core import block_pool, kv_cache_utils

    original = kv_cache_utils.generate_block_hash_extra_keys
    if getattr(original, "vagus", False):
        return
    pin.check_parameters(original, _PARAMETERS)

    def generate_block_hash_extra_keys(
        request: Any, start_token_idx: int, end_token_idx: int, start_mm_idx: int
    ) -> tuple[tuple[Any, ...] | None, int]:
        keys, next_mm_idx = original(request, start_token_idx, end_token_idx, start_mm_idx)
        course = course_of(request)
        if course is not None:
            key = block_key(course.segments, start_token_idx, end_token_idx)
            if key is not None:
                keys = (*(keys or ()), (_TAG, key))
        return keys, next_mm_idx

    generate_block_hash_extra_keys.vagus = True  # type: ignore[attr-defined]
    # The second name is an import of the first, used for the events of KV caches.
    kv_cache_utils.generate_block_hash_extra_keys = generate_block_hash_extra_keys
    block_pool.generate_block_hash_extra_keys = generate_block_hash_extra_keys


def course_of(request: Any) -> Course | None:
    """What a request is steered by, from its order, which is decoded once."""
    if not hasattr(request, COURSE):
        order = order_from_sampling_params(request.sampling_params)
        setattr(request, COURSE, None if order is None else Course(order))
    course: Course | None = getattr(request, COURSE)
    return course
