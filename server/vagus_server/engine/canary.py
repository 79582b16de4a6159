"""Proves on the device that steering steers and reading reads: at the start, then now and then.

Three short requests: plain; one concept at the readout site; the same at every site. A stale
compiled artifact, a lost hook, a swapped table or a dead readout fails here. Two more, of a
cache block each, show that keys and values written under one program are not another's.
"""

import uuid
from dataclasses import dataclass

import numpy as np

from vagus_kernels.layout import ADD
from vagus_server.engine.engine import Engine, drain
from vagus_server.engine.failures import ReceiptMismatch
from vagus_server.engine.request import EngineRequest
from vagus_server.plugin.pin import Unsupported
from vagus_server.plugin.wire import NO_END
from vagus_server.readouts.render import AFTER, BEFORE
from vagus_server.steering.program import Operation, Program

#: Tolerance of the readout's shift, as a share of the length added. Projections of bfloat16
#: streams carry no rounding of the stream (both are taken in float32), so this only covers
#: float32 sums over the hidden size.
_TOLERANCE = 1e-3
_DOSE = 0.25
_TOKENS = 3


class CanaryFailed(Unsupported):
    """Steering or reading does not work on this device; the message says which."""


@dataclass(frozen=True)
class _Seen:
    """What a canary request brought.

    rows: at the readout site, of the last prompt token and what follows, [n, 2, concepts].
    logprobs: of the best candidates for the first token, by token id.
    cached_tokens: of the prompt, that came from the prefix cache.
    """

    rows: np.ndarray
    logprobs: dict[int, float]
    cached_tokens: int


async def run_canary(engine: Engine) -> None:
    """Raises CanaryFailed unless every data-parallel engine did exactly what was asked.

    It may run beside other requests, and any number of times.
    """
    for rank in range(engine.ranks):
        await _check_rank(engine, rank if engine.ranks > 1 else None)


async def _check_rank(engine: Engine, rank: int | None) -> None:
    pack, site = engine.pack, engine.plugin.readout_sites[0]
    # Of its own for each run: what an earlier one left in the prefix cache proves nothing.
    tenant = f"vagus-canary-{uuid.uuid4().hex}"
    concept = pack.names[0]
    prompt = list(range(10, 26))

    plain = await _run(engine, rank, tenant, prompt, Program())
    if not np.isfinite(plain.rows).all():
        raise CanaryFailed("readouts are not finite: the readout operation did not run")
    if not np.array_equal(plain.rows[:, BEFORE], plain.rows[:, AFTER]):
        raise CanaryFailed("an unsteered request was steered")

    at_site = _program(engine, concept, (site,))
    length = at_site.operations[0].a[0]
    units = pack.unit_vectors[:, site].astype(np.float64)
    expected = length * (units @ units[pack.index[concept]])
    steered = await _run(engine, rank, tenant, prompt, at_site)
    error = np.abs(steered.rows[0, AFTER] - steered.rows[0, BEFORE] - expected).max() / length
    if not error < _TOLERANCE:
        raise CanaryFailed(
            f"steering at site {site} moved the readouts by other than the vector's projections "
            f"(relative error {error:.2e})"
        )
    # Readouts after steering are computed from what the operation did; the model's own answer
    # shows that the stream has really been moved.
    if steered.logprobs == plain.logprobs:
        raise CanaryFailed(f"steering at site {site} left the model's answer as it was")

    everywhere = await _run(
        engine, rank, tenant, prompt, _program(engine, concept, tuple(range(pack.sites)))
    )
    moved = np.abs(everywhere.rows[0, BEFORE] - plain.rows[0, BEFORE]).max()
    # The first site reads what no site before it can have moved.
    if site > 0 and moved < length * _TOLERANCE:
        raise CanaryFailed("steering at every site left the stream as it was")

    config = engine.llm.vllm_config
    longer = [10 + i % 16 for i in range(config.cache_config.block_size + 1)]
    if len(longer) + _TOKENS > config.model_config.max_model_len:
        return  # no request can fill a block, so none is ever shared
    await _run(engine, rank, tenant, longer, Program(), read_prompt=False)
    second = await _run(engine, rank, tenant, longer, at_site, read_prompt=False)
    if second.cached_tokens:
        raise CanaryFailed("a steered request was given keys and values of an unsteered one")


def _program(engine: Engine, concept: str, sites: tuple[int, ...]) -> Program:
    pack = engine.pack
    share = _DOSE / len(sites)
    return Program(
        (
            Operation(
                action=ADD,
                concept=concept,
                vectors=engine.concepts[concept].vectors,
                sites=sites,
                a=tuple(share * pack.residual_norms[s] for s in sites),
                b=(0.0,) * len(sites),
                doses=(share,) * len(sites),
                scope=((0, NO_END),),
            ),
        )
    )


async def _run(
    engine: Engine,
    rank: int | None,
    tenant: str,
    prompt: list[int],
    program: Program,
    *,
    read_prompt: bool = True,
) -> _Seen:
    first = 0 if read_prompt else len(prompt) - 1
    request = EngineRequest(
        request_id=f"canary-{uuid.uuid4().hex}",
        token_ids=prompt,
        # Log-probabilities also make vLLM compile their path now and not in a user's request.
        sampling={"temperature": 0.0, "max_tokens": _TOKENS, "ignore_eos": True, "logprobs": 5},
        program=program,
        read=((first, len(prompt) + _TOKENS),),
        tenant=tenant,
        rank=rank,
    )
    running = engine.submit(request)
    try:
        outputs = await drain(running.outputs())
    except ReceiptMismatch as error:
        raise CanaryFailed(f"the device did not steer as asked: {error}") from None
    else:
        rows = [running.row(p) for p in range(len(prompt) - 1, running.processed_end)]
    finally:
        engine.close(request)
    missing = [row for row in rows if row is None]
    if missing:
        raise CanaryFailed(f"{len(missing)} of {len(rows)} readouts did not arrive")
    best = next(output.logprobs[0] for output in outputs if output.logprobs)
    return _Seen(
        rows=np.stack([row[0].T for row in rows if row is not None]),
        logprobs={token: info.logprob for token, info in best.items()},
        cached_tokens=outputs[0].cached_tokens,
    )
