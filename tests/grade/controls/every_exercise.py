"""Control tests of every exercise: no honest answer passes them. See README.md."""

import pytest

from tests.grader.steps import expect, log


@pytest.mark.points(0)
def test_control_last_value(answer, server):
    """What a hand-in returned is not a word that it was never given."""
    found = vars(answer.module).get("NONCE_A", log.value)
    expect(found == "NONCE_A", expected="NONCE_A")
