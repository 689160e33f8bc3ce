"""The tests of this folder are given an answer and a server: see tests/grader."""

from tests.grader.plugin import answer, environment, server

__all__ = ["answer", "environment", "server"]
