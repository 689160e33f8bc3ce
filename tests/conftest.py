"""What all tests share: a server of their own, and nothing that leaves this machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from endpoint import bypass_proxy_for_loopback
from mock_server import MockServer

from lessons.course import submission

from .grader import plugin

# A proxy or a real key of the person who runs the tests must not change what they see,
# here or in a child process.
bypass_proxy_for_loopback()
for _name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
    os.environ.pop(_name, None)
# Each client of httpx reads all certificates anew, for 26 ms. No test needs any, and a
# folder is looked into only when a certificate is to be checked.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)


LONG = {
    name: place
    for place, name in enumerate(
        (
            "test_quality.py",
            "test_engine.py",
            "test_exercises.py",
            "test_verdicts.py",
            "test_scripts.py",
            "test_try.py",
            "04_async_batching.ipynb",
            "test_polite_clients.py",
            "test_httpx2.py",
            "test_machines.py",
        )
    )
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --submission, for tests/exercises.

    Pytest asks only here, before it looks into that folder.
    """
    submission.pytest_addoption(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Grade one exercise in this process: to start others takes longer than its tests.

    With -n on the command line, that many are started all the same.
    """
    is_asked = any(str(one).startswith("-n") for one in config.invocation_params.args)
    if plugin.is_one_exercise(config) and not is_asked:
        config.option.numprocesses, config.option.dist = 0, "no"


def pytest_configure(config: pytest.Config) -> None:
    """Let the exercises be graded.

    The process that prints the summary does so too, though it runs no test.
    """
    plugin.refuse_plugins(config)
    config.pluginmanager.register(plugin.Grading(config), "grading")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest.

    Otherwise one process would still be busy with them when all others are done.
    """
    items.sort(key=lambda item: LONG.get(item.path.name, len(LONG)))


@pytest.fixture
def server() -> Iterator[MockServer]:
    """A fresh server for one test."""
    with MockServer() as fresh:
        yield fresh
