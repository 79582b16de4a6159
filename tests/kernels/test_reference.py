"""The CPU implementations against the oracle."""

import pytest
from kernel_cases import CASES, LARGEST, MANY_ROWS, Case
from kernel_checks import (
    check_fused,
    check_gate_of_an_earlier_site,
    check_idle_rows_are_plain,
    check_in_place,
)

from vagus_kernels.reference import steer_add_rms_norm, steer_read_

FUSED = [case for case in CASES if case.addend]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_steer_read(case: Case) -> None:
    check_in_place(steer_read_, case)


@pytest.mark.parametrize("plus_one", [False, True], ids=["weight", "plus_one"])
@pytest.mark.parametrize("case", FUSED, ids=str)
def test_steer_add_rms_norm(case: Case, plus_one: bool) -> None:
    check_fused(steer_add_rms_norm, case, plus_one)


@pytest.mark.parametrize("case", FUSED, ids=str)
def test_idle_rows_are_plain(case: Case) -> None:
    check_idle_rows_are_plain(steer_add_rms_norm, case)


@pytest.mark.parametrize("case", [*MANY_ROWS, *LARGEST], ids=str)
def test_large_shapes(case: Case) -> None:
    check_fused(steer_add_rms_norm, case, False)
    check_in_place(steer_read_, case)


def test_gate_of_an_earlier_site() -> None:
    check_gate_of_an_earlier_site(steer_read_)
