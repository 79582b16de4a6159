"""Keeps a benchmark's memory where it is."""

import ctypes

_CURRENT, _FUTURE, _ON_FAULT = 1, 2, 4


def lock() -> bool:
    """Locks all that this process has touched or will touch; whether the system allows it.

    Two engines take turns, so that each is idle half of the time, and systems that reclaim idle
    memory (Linux's DAMON) would meanwhile take the pages of its code. Not inherited by new
    processes.
    """
    try:
        return ctypes.CDLL(None).mlockall(_CURRENT | _FUTURE | _ON_FAULT) == 0
    except (OSError, AttributeError):
        return False
