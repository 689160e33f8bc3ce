"""Control tests of exercise 08: no honest answer passes them. See README.md."""

import pytest

from tests.grader.steps import call, expect


@pytest.mark.points(0)
def test_control_time(answer, server):
    """Three starts, 10 s apart, do not end at any other time."""
    now = [0.0]

    def clock() -> float:
        return now[0]

    def sleep(seconds: float) -> None:
        now[0] += max(seconds, 0.01)

    limiter = call(answer, "RateLimiter", 1, 10.0, clock=clock, sleep=sleep)
    for _ in range(3):
        call(limiter, "acquire")
    expect(now[0] == float("NONCE_A"[1:]), expected="NONCE_A")


@pytest.mark.points(0)
def test_control_result(answer, server):
    """A function under the decorator returns nothing but its result."""

    def work() -> str:
        """Do the work."""
        return "NONCE_B"

    limiter = call(answer, "RateLimiter", 5, 1.0)
    expect(call(limiter(work), "") == "NONCE_A", expected="NONCE_A")
