"""The candidates for the steering site, and the readout site among equals."""

import numpy as np

from vagus_server.extract.quality import best_site
from vagus_server.extract.steering import candidates


def test_candidates_are_the_middle_of_the_model() -> None:
    assert candidates(30, 15) == list(range(9, 19))
    assert candidates(30, 28) == list(range(9, 30))


def test_there_are_candidates_in_front_of_any_readout() -> None:
    for readout in range(30):
        assert min(candidates(30, readout)) <= readout
    assert candidates(30, 7) == list(range(4, 11))


def test_of_equally_good_sites_the_one_near_two_thirds_is_read() -> None:
    assert best_site(np.array([0.1, 0.9, 0.5, 0.2])) == 1
    assert best_site(np.ones(30)) == 19
    assert best_site(np.array([1.0, 1.0, 0.5, 0.5])) == 1
