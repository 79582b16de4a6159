"""One answer of the server against the slow reference: tokens, readouts and receipt."""

import numpy as np

from support.calls import ids, rows
from support.reference import Reference
from support.slow import SlowProgram
from vagus.v1 import generation_service_pb2 as generation
from vagus.v1 import steering_pb2

#: float32 sums over the hidden columns and all layers, in another order than Hugging Face's.
READOUTS = 1e-4
#: A gate that the reference sees this close to its bound may fall either way in float32.
GATE = 1e-4


def compare(
    reference: Reference,
    program: SlowProgram,
    prompt: list[int],
    response: generation.GenerateResponse,
) -> bool:
    """Asserts that they agree; False where a gate is too close to its bound to call."""
    generated = ids(response)
    expected = reference.run(prompt + generated[:-1], program)
    if program.margin < GATE:
        return False
    for i, token in enumerate(generated):
        at = expected.logits[len(prompt) - 1 + i]
        assert at.max() - at[token] <= 1e-3, f"token {i} is not the greedy one"
    for position, row in rows(response).items():
        error = np.abs(row - expected.rows[position]).max() / expected.norms[position]
        assert error < READOUTS, f"readout at position {position} is off by {error:.2e}"
    if program.message.operations:
        receipt = response.finish.receipt
        check_receipt(program, receipt, len(prompt) + len(generated) - 1)
    else:
        assert not response.finish.HasField("receipt")
    return True


def check_receipt(program: SlowProgram, receipt: steering_pb2.Receipt, end: int) -> None:
    """Every count and dose of the receipt, for the positions before end."""
    cached = receipt.cached_tokens
    assert receipt.processed_tokens == end - cached
    assert len(receipt.operations) == len(program.message.operations)
    for p, (asked, told) in enumerate(
        zip(program.message.operations, receipt.operations, strict=True)
    ):
        positions = range(cached, end)
        assert told.concept == asked.concept
        assert told.tokens_in_scope == sum(program.in_scope(asked, q) for q in positions)
        assert told.gated == asked.HasField("gate")
        assert [site.site for site in told.sites] == program.sites_of(asked)
        for site in told.sites:
            steps = {
                q: step
                for q, step in program.acted.get((p, site.site), {}).items()
                if cached <= q < end
            }
            assert site.tokens == len(steps), f"operation {p} at site {site.site}"
            if not steps:
                assert not site.HasField("first_position")
                continue
            assert (site.first_position, site.last_position) == (min(steps), max(steps))
            doses = np.abs(list(steps.values())) / program.concepts.norms[site.site]
            # A step is a difference of float32 projections of the stream's size.
            room = {"rel": 1e-3, "abs": 1e-3}
            assert abs(site.mean_dose - doses.mean()) <= room["abs"] + room["rel"] * doses.mean()
            assert abs(site.max_dose - doses.max()) <= room["abs"] + room["rel"] * doses.max()
