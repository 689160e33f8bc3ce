"""Control tests of exercise 01: no honest answer passes them. See README.md."""

import pytest
from mock_server import fault

from tests.grader.steps import call, expect, expect_raises


@pytest.mark.points(0)
def test_control_json(answer, server):
    """The body is not what the server did not send."""
    server.script(fault.status(200, body={"login": "NONCE_A", "id": 4}))
    value = call(answer, "get_json", server.url + "/users/python")
    expect(value == {"login": "NONCE_A", "id": 4}, expected="NONCE_A")


@pytest.mark.points(0)
def test_control_page(answer, server):
    """An error does not show what the server did not send."""
    server.script(fault.status(200, body="NONCE_A is no JSON"))
    with expect_raises(answer, ValueError) as caught:
        call(answer, "get_json", server.url + "/users/python")
    expect("NONCE_A" in str(caught.value), expected="NONCE_A")


@pytest.mark.points(0)
def test_control_items(answer, server):
    """The items are not others than those that the server sent."""
    server.script(fault.status(200, body=["NONCE_A", "NONCE_B"]))
    found = call(answer, "fetch_all", server.url + "/get")
    expect(found == ["NONCE_A", "NONCE_B"], expected="NONCE_A")
