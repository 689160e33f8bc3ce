"""The option --submission of pytest.

pyproject.toml names this file in addopts, so that pytest knows the option before it
looks for settings: otherwise it takes the folder in `--submission FOLDER` for one of
tests, and runs the conftest.py that a hand-in may bring along.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any


def pytest_addoption(parser: Any) -> None:
    """Add --submission, unless it is there."""
    with suppress(ValueError):
        parser.getgroup("exercises").addoption(
            "--submission",
            default="solutions",
            metavar="DIR",
            help="the folder of answers to grade with tests/exercises, or one answer; "
            "default: solutions",
        )
