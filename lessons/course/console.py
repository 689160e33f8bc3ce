"""`python -m lessons try`: Python with the answer in it, a server, and `fault`."""

from __future__ import annotations

import argparse
import ast
import builtins
import code
import inspect
import os
import sys
import types
from typing import TYPE_CHECKING, Any

from .doctor import LESSONS, install_command, missing_packages
from .exercises import Exercise, Mistake, find_exercise, is_notebook, shown

if TYPE_CHECKING:
    import asyncio

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
# What is there beside the names of the answer.
GIVEN = ("asyncio", "fault", "MockServer", "os", "requests", "server")


def try_out(options: argparse.Namespace) -> int:
    """Open a Python prompt in which the line `we did` of a failure can be pasted.

    Raises Mistake if there is no answer, or if it is a notebook.
    """
    exercise = find_exercise(options.exercise)
    answer = exercise.find_answer()
    if is_notebook(answer):
        raise Mistake(f"{shown(answer)} is a notebook; try things out in Jupyter")
    if missing := missing_packages(group=0):
        raise Mistake(f"{', '.join(missing)} not installed; run: {install_command()}")
    sys.path[:0] = [str(LESSONS), str(answer.parent)]
    # Only here, so that the other commands start at once.
    import asyncio

    import requests
    from endpoint import bypass_proxy_for_loopback, leave_out_socks
    from mock_server import MockServer, fault

    bypass_proxy_for_loopback()
    leave_out_socks()
    with MockServer() as server, asyncio.Runner() as runner:
        os.environ["OPENAI_API_KEY"] = server.api_key
        os.environ["OPENAI_BASE_URL"] = server.base_url
        os.environ["OPENAI_MODEL"] = "mock-small"
        module = sys.modules[exercise.stem] = types.ModuleType(exercise.stem)
        names = vars(module)
        given = (asyncio, fault, MockServer, os, requests, server)
        names.update(zip(GIVEN, given, strict=True))
        console = _Console(names, runner)
        source = answer.read_text(encoding="utf-8-sig")
        console.runcode(compile(source, str(answer), "exec"))
        console.interact(
            f"{shown(answer)} is loaded, and a server runs. Also here: "
            f"{', '.join(GIVEN)}.\n`await` works as in a notebook. exit() ends this.",
            exitmsg="",
        )
    return 0


def can_be_pasted(line: str, exercise: Exercise) -> bool:
    """Say whether a line is Python, and has no names that `try` does not know."""
    try:
        tree = compile(line, "<line>", "exec", _FLAGS | ast.PyCF_ONLY_AST)
        answer = ast.parse(exercise.find_answer().read_text(encoding="utf-8-sig"))
    except (SyntaxError, ValueError):
        return False
    known = {*GIVEN, *dir(builtins)}
    for node in (*ast.walk(tree), *ast.walk(answer)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            known.add(node.name)
        elif isinstance(node, ast.alias):
            known.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names <= known


class _Console(code.InteractiveConsole):
    """A Python prompt that knows `await`, and puts up with indented lines."""

    def __init__(self, names: dict[str, Any], runner: asyncio.Runner) -> None:
        super().__init__(names)
        self.compile.compiler.flags |= _FLAGS
        self.runner = runner

    def push(self, line: str, *arguments: Any, **options: Any) -> bool:
        """Take a line; what was copied from `check` may begin with blanks."""
        line = line if self.buffer else line.lstrip()
        return super().push(line, *arguments, **options)

    def runcode(self, compiled: types.CodeType) -> None:
        """Run what was typed, to its end if it waits for something."""
        try:
            waiting = types.FunctionType(compiled, self.locals)()
            if inspect.iscoroutine(waiting):
                self.runner.run(waiting)
        except SystemExit:
            raise
        except BaseException:
            self.showtraceback()
