"""A cell that is run again after the server has stopped is answered with a sentence."""

from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

SENTENCE = "the server is stopped: run the first cell again\n"
SETUP = """
import asyncio, httpx, requests
from mock_server import MockServer
server = MockServer().start()
"""
GROUP = """
async def get():
    async with httpx.AsyncClient() as client, asyncio.TaskGroup() as group:
        group.create_task(client.get(server.url))
"""


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A shell as a notebook has it."""
    fresh = InteractiveShell.instance(colors="nocolor")
    yield fresh
    fresh.run_cell("server.stop()")
    InteractiveShell.clear_instance()


def test_a_stopped_server(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """With any client there is one sentence; other errors, and all errors while a
    server runs, look as before.
    """

    def output_of(code: str) -> str:
        assert not shell.run_cell(code).success
        return capsys.readouterr().out

    assert shell.run_cell(SETUP).success
    refused = "requests.get('http://127.0.0.1:1')"
    assert "Traceback" in output_of(refused)
    shell.run_cell("server.stop()")
    for code in (
        "requests.get(server.url)",
        "httpx.get(server.url)",
        f"{GROUP}\nawait get()",
        "try:\n    httpx.get(server.url)\n"
        "except httpx.HTTPError as error:\n    raise ValueError('mine') from error",
    ):
        assert output_of(code) == SENTENCE, code
    other = output_of("1 / 0")
    assert "ZeroDivisionError" in other and SENTENCE not in other
    assert shell.run_cell(SETUP).success
    shell.run_cell("with MockServer() as second:\n    pass")
    assert "Traceback" in output_of(refused), "another server still runs"
