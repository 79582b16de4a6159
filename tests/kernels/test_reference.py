"""The torch implementation against the oracle."""

import pytest
from kernel_cases import CASES, Case
from kernel_checks import check, check_sites_accumulate

from vagus_kernels.reference import steer_read_


@pytest.mark.parametrize("case", CASES, ids=str)
def test_site(case: Case) -> None:
    check(steer_read_, case)


def test_sites_accumulate() -> None:
    check_sites_accumulate(steer_read_)
