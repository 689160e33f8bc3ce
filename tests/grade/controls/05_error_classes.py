"""Control tests of exercise 05: no honest answer passes them. See README.md."""

import pytest
import requests
from mock_server import fault

from tests.grader.steps import call, expect, expect_raises


@pytest.mark.points(0)
def test_control_code(answer, server):
    """An error has no other code than the server sent."""
    error = {"message": "NONCE_A", "code": "NONCE_B", "type": "NONCE_B"}
    server.script(fault.status(400, body={"error": error}))
    response = requests.get(server.url + "/users/ada", timeout=5)
    with expect_raises(answer, "BadRequestError") as caught:
        call(answer, "raise_for_error", response)
    expect(caught.value.code == "NONCE_B", expected="NONCE_B")


@pytest.mark.points(0)
def test_control_call(answer, server):
    """call returns no other body than the server sent."""
    server.script(fault.status(200, body={"id": "NONCE_A"}))
    response = call(answer, "call", "GET", server.url + "/users/ada", timeout=4)
    expect(response.json() == {"id": "NONCE_A"}, expected="NONCE_A")


@pytest.mark.points(0)
def test_control_class(answer, server):
    """A thing that is no error is of no class of errors."""
    found = isinstance(object(), answer.BadRequestError)
    expect(found, saw="no error", expected="NONCE_C")
