"""What a tiny model brought, against transformers with hooks."""

from pathlib import Path

import numpy as np

from support.calls import VECTOR, add
from support.compare import GATE, check_course, check_receipt
from support.offline import Result
from support.reference import Reference
from support.slow import SlowCourse, SlowProgram
from support.tiny_models import LAYERS
from vagus.v1 import steering_pb2
from vagus_server.packs.pack import Pack

PROMPT = [5, 17, 99, 40, 3, 64, 21, 77, 8, 30, 111]
OTHER = [9, 9, 80, 52, 6]
#: float32 sums in another order than transformers'.
TOLERANCE = 1e-4
#: Two tokens whose logits are nearer than this may swap between correct implementations.
TIE = 1e-3
LAST = LAYERS - 1
#: What is asked: every layer moved, by what depends on the stream and what does not.
PROGRAMS = {
    "nothing": steering_pb2.Program(),
    "first site": steering_pb2.Program(operations=[add("calm", 0.5, (0,), VECTOR)]),
    "every site": steering_pb2.Program(
        operations=[
            add("desperate", 0.4, (0, LAST), VECTOR, "generation"),
            steering_pb2.Operation(
                concept="happy", sites=[1], ablate=steering_pb2.Ablate(share=1.0)
            ),
            add("sad", -0.5, tuple(range(LAYERS)), VECTOR),
        ]
    ),
}


def tiny_reference(folder: Path, pack: Pack) -> Reference:
    """transformers on a tiny model."""
    tensors = {
        "vectors": pack.vectors,
        "residual_norms": np.array(pack.residual_norms),
        "reference_mean": pack.reference_mean,
        "reference_std": pack.reference_std,
    }
    return Reference(folder, tensors, list(pack.names), pack.readout_site, pack.steering_site)


def check(reference: Reference, result: Result, message: steering_pb2.Program, *sites: int) -> None:
    """Asserts that tokens, receipt and the readouts of all positions are right.

    `sites` are those of the rows' first axis; all of them when none is given.
    """
    program = SlowProgram(message, reference.concepts, len(result.prompt))
    _check_states(reference, result, program, *sites)
    assert program.margin >= GATE, "a gate is too close to its bound: choose another"
    if message.operations:
        end = len(result.prompt) + len(result.ids) - 1
        check_receipt(program, result.receipt, end)


def check_changed(reference: Reference, result: Result) -> bool:
    """The same of a request whose program was changed; False where a gate is too close to call."""
    prompt = len(result.prompt)
    end = prompt + len(result.ids) - 1
    parts = [part for part in result.parts if part[0] < end]
    course = SlowCourse(
        [
            (start, SlowProgram(m, reference.concepts, prompt, origin=max(start, prompt)))
            for start, m in parts
        ]
    )
    reference.run(result.prompt + result.ids[:-1], course)
    if course.margin < GATE:
        return False
    _check_states(reference, result, course)
    if len(parts) > 1 or parts[0][1].operations:
        check_course(course, result.receipt, end)
    return True


def _check_states(
    reference: Reference, result: Result, steering: SlowProgram | SlowCourse, *sites: int
) -> None:
    text, computed = result.prompt + result.ids[:-1], result.cached
    assert sorted(result.rows) == list(range(computed, len(text)))
    for i, site in enumerate(sites or range(LAYERS)):
        reference.readout_site = site
        expected = reference.run(text, steering)
        got = np.stack([result.rows[p][i] for p in range(computed, len(text))])
        error = np.abs(got - expected.rows[computed:]).max(axis=(1, 2)) / expected.norms[computed:]
        assert error.max() < TOLERANCE, f"readouts at site {site} are off by {error.round(6)}"
    for i, token in enumerate(result.ids):
        logits = expected.logits[len(result.prompt) - 1 + i]
        assert logits.max() - logits[token] < TIE, f"token {i} is not the greedy one"
