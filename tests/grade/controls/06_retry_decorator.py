"""Control tests of exercise 06: no honest answer passes them. See README.md."""

import pytest

from tests.grader.steps import call, expect


@pytest.mark.points(0)
def test_control_seconds(answer, server):
    """7 seconds are no other number of seconds."""
    value = call(answer, "parse_retry_after", "7")
    expect(value == float("NONCE_A"[1:]), expected="NONCE_A")


@pytest.mark.points(0)
def test_control_result(answer, server):
    """A function that is tried again returns nothing but its result."""

    def work() -> str:
        """Do the work."""
        return "NONCE_B"

    decorate = call(answer, "retry_on_error", max_retries=1, sleep=lambda _: None)
    expect(call(decorate(work), "") == "NONCE_A", expected="NONCE_A")
