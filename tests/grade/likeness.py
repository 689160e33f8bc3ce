"""Says whether an answer is the reference, or a module of the course's own package,
under other names.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from lessons.course.exercises import ROOT, find_exercise

from .parsing import one_at_a_time

_LARGE = 200_000  # bytes: nobody writes so much
_SMALL = 25  # nodes: anybody writes a function of so few in the same way


def sentence(stem: str, text: bytes, is_notebook: bool) -> str:
    """Return why a person should look at an answer, "" if there is no likeness."""
    if len(text) > _LARGE:
        return ""
    with one_at_a_time:
        try:
            own = _shapes(_code(text, is_notebook))
        except (SyntaxError, ValueError, KeyError, TypeError):
            return ""
        except (RecursionError, MemoryError):  # nested without end
            return ""
        files = _known(stem)
    for name, known in files.items():
        if own and own <= known:
            return f"it is equal to {name}, apart from names"
    return ""


def _code(text: bytes, is_notebook: bool) -> str:
    if not is_notebook:
        return text.decode("utf-8-sig")
    cells = json.loads(text)["cells"]
    code = ["".join(one["source"]) for one in cells if one["cell_type"] == "code"]
    return "\n".join(code)


@functools.cache
def _known(stem: str) -> dict[str, frozenset[str]]:
    """Return the shapes of what an answer must not be, by what to call it."""
    files: dict[str, Iterable[Path]] = {
        "the reference": [find_exercise(stem).solution],
        "code of robust_client": (ROOT / "lessons" / "robust_client").glob("*.py"),
    }
    stub = _shapes(find_exercise(stem).stub.read_text(encoding="utf-8"))
    return {
        name: frozenset(
            shape
            for path in paths
            for shape in _shapes(path.read_text(encoding="utf-8"))
        )
        - stub
        for name, paths in files.items()
    }


def _shapes(code: str) -> set[str]:
    """Return a word for each function of a program, and for each class without its
    methods, that says what it does whatever its names are.
    """
    shapes = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = sum(1 for _ in ast.walk(node))
            if size > _SMALL:
                shapes.add(_shape(node))
    return shapes


def _shape(function: ast.AST) -> str:
    names: dict[str, str] = {}
    parts = []
    for node in ast.walk(function):
        parts.append(type(node).__name__)
        if isinstance(node, ast.Constant):
            if not (isinstance(node.value, str) and len(node.value) > 30):
                parts.append(repr(node.value))
        elif isinstance(node, ast.Name):
            parts.append(names.setdefault(node.id, f"name{len(names)}"))
        elif isinstance(node, ast.arg):
            parts.append(names.setdefault(node.arg, f"name{len(names)}"))
        elif isinstance(node, ast.Attribute):
            parts.append(names.setdefault(node.attr, f"name{len(names)}"))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
