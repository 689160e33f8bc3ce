"""Control tests of exercise 07: no honest answer passes them. See README.md."""

import pytest

from tests.grader.steps import call, expect


@pytest.mark.points(0)
def test_control_events(answer, server):
    """An event has no other data than the bytes."""
    found = [one.data for one in call(answer, "iter_sse", [b"data: NONCE_A\n\n"])]
    expect(found == ["NONCE_B"], expected="NONCE_B")


@pytest.mark.points(0)
def test_control_text(answer, server):
    """The text is no other than the server sent."""
    server.on().reply(text="NONCE_A and NONCE_B")
    messages = [{"role": "user", "content": "Hello"}]
    text = "".join(call(answer, "stream_chat", messages))
    expect(text == "NONCE_A and NONCE_B", expected="NONCE_A")


@pytest.mark.points(0)
def test_control_class(answer, server):
    """A thing that is no error is of no class of errors."""
    found = isinstance(object(), answer.IncompleteStreamError)
    expect(found, saw="no error", expected="NONCE_C")
