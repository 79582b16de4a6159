"""Settings of all property tests: the same examples each time, however slow the machine."""

from hypothesis import HealthCheck, settings

examples = settings(
    max_examples=200,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
