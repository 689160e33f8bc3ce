"""Control tests of exercise 03: no honest answer passes them. See README.md."""

import pytest
from mock_server import fault

from tests.grader.steps import call, expect


@pytest.mark.points(0)
def test_control_ask(answer, server):
    """ask returns no other text than the server sent."""
    server.on().reply(text="NONCE_A")
    text = call(call(answer, "ChatClient"), "ask", "Hello")
    expect(text == "NONCE_A", expected="NONCE_A")


@pytest.mark.points(0)
def test_control_models(answer, server):
    """models returns no other names than the server sent."""
    listed = [{"id": "NONCE_A", "object": "model"}]
    server.on().reply(fault.status(200, body={"object": "list", "data": listed}))
    names = call(call(answer, "ChatClient"), "models")
    expect(names == ["NONCE_A"], expected="NONCE_A")
