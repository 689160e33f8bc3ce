"""Control tests of exercise 04: no honest answer passes them. See README.md."""

import pytest

from tests.grader.steps import call, expect, run_async


@pytest.mark.points(0)
def test_control_answers(answer, server):
    """The answers are no others than the server sent."""
    server.on(path="/v1/chat/completions").reply(text="NONCE_A")
    results = run_async(call(answer, "ask_all", ["Hello", "Bye"], max_concurrency=2))
    expect(results == ["NONCE_A", "NONCE_A"], expected="NONCE_A")


@pytest.mark.points(0)
def test_control_one_answer(answer, server):
    """One answer is no other than the server sent."""
    server.on().reply(text="NONCE_B")
    results = run_async(call(answer, "ask_all", ["Hello"]))
    expect(results[0] == "NONCE_B", expected="NONCE_B")
