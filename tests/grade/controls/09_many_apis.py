"""Control tests of exercise 09: no honest answer passes them. See README.md."""

import pytest

from tests.grader.steps import call, expect, run_async


@pytest.mark.points(0)
def test_control_batch(answer, server, tmp_path):
    """The result of a job is no other text than the server sent."""
    server.on().reply(text="NONCE_A")
    provider = answer.Provider(server.base_url, server.api_key, "mock-small", 1000)
    plenty = {"budget": 1_000_000, "max_concurrency": 1, "rate": 1000}
    store = str(tmp_path / "control.db")
    jobs, options = {"a": "Hello"}, {"providers": [provider], **plenty}
    results = run_async(call(answer, "run_batch", jobs, store, **options))
    expect(results == {"a": "NONCE_A"}, expected="NONCE_A")
