"""Control tests that stand at the end of the tests of every exercise."""

import pytest

from tests.grader.steps import expect, log

# ---


@pytest.mark.points(0)
def test_control_of_the_last_value(answer, server):
    """What a hand-in returns is not a word that it was never given."""
    found = vars(answer.module).get("NONCE_A", log.value)
    expect(found == "NONCE_A", expected="NONCE_A")
