"""Control tests of exercise 02: no honest answer passes them. See README.md."""

import pytest
from mock_server import fault

from tests.grader.steps import call, expect, expect_raises


@pytest.mark.points(0)
def test_control_create(answer, server):
    """An agent has no other name than the server said."""
    made = {"id": 1, "name": "NONCE_A", "status": "active"}
    server.script(fault.status(201, body=made))
    api = call(answer, "AgentsAPI", server.url, server.api_key)
    expect(call(api, "create", "Ada") == made, expected="NONCE_A")


@pytest.mark.points(0)
def test_control_refused(answer, server):
    """An error does not say what the server did not say."""
    server.on().reply(fault.status(422, body={"message": "NONCE_A", "errors": []}))
    api = call(answer, "AgentsAPI", server.url, server.api_key)
    with expect_raises(answer, ValueError) as caught:
        call(api, "create", "Ada")
    expect("NONCE_A" in str(caught.value), expected="NONCE_A")
