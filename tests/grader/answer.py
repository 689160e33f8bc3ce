"""Find an answer to an exercise and load it, a script or a notebook.

Whatever can be wrong with the file has a sentence of its own.
"""

import ast
import asyncio
import difflib
import functools
import inspect
import io
import json
import re
import sys
import tokenize
import types
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from lessons.course.exercises import ROOT, find_answers, is_notebook, match_name
from lessons.course.results import Result, clip

from .diagnosis import NotRight, borrowed, chain, one_line
from .sandbox import named_in

# The course's own code, by the names it is imported by. An answer must do without it;
# only that to exercise 09 may use what lessons 03 to 08 have built.
_SOLUTIONS = {"solutions": ROOT / "solutions"}
_ROBUST_CLIENT = {"robust_client": ROOT / "lessons" / "robust_client"}
_LESSONS_03_TO_08 = {"__init__", "keys", "chat", "batch", "replies", "errors", "retry"}
_LESSONS_03_TO_08 |= {"sse", "stream", "async_stream", "limits"}
_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_MARKERS = re.compile(r"(?m)^(<{7}|={7}|>{7})(?: |$)")
# Cells in another language.
_SKIPPED_CELLS = re.compile(r"%%(?!time\b|timeit\b|capture\b|prun\b)")


class Answer:
    """What somebody handed in for one exercise.

    Its names are attributes, once it is loaded.

    stem: the exercise. path: the file. shown: how to call the file in a message.
    absent: why there is no file. notes: sentences on what is no mistake, but better
        mended.
    """

    def __init__(
        self, stem: str, path: Path, shown: str, absent: Result | None = None
    ) -> None:
        self.stem, self.path, self.shown, self.absent = stem, path, shown, absent
        self.is_loaded = False
        self.notes: list[str] = []
        self.trouble: list[str] = []  # what failed in a cell of a notebook
        self.module = types.ModuleType(stem)
        # The lines of the file, or of each of its cells.
        self._sources: dict[str, list[str]] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return getattr(self.module, name)
        except AttributeError:
            raise self._missing(name) from None

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process have the same answer, which it must load itself."""
        return Answer, (self.stem, self.path, self.shown)

    def _missing(self, name: str) -> NotRight:
        own = [known for known in vars(self.module) if not known.startswith("_")]
        near = difflib.get_close_matches(name, own, n=1)
        saw = f"there is no {name} in {self.shown}"
        if near:
            saw += f", but a {near[0]}"
        if self.trouble:
            saw += f" ({self.trouble[0]})"
        return NotRight(
            Result(
                saw=saw,
                expected=f"the name {name}, exactly as in the exercise",
                line=self.definition(getattr(self.module, near[0])) if near else "",
                kind="missing",
            )
        )

    @property
    def forbidden(self) -> dict[str, Path]:
        """The modules that the answer must not import, and their folders or files.

        Nothing is forbidden to the reference answers by the folder that they are in.
        """
        names = {**_SOLUTIONS, **_ROBUST_CLIENT}
        if self.stem >= "09":
            package, folder = names.popitem()
            for path in folder.glob("*.py"):
                if path.stem not in _LESSONS_03_TO_08:
                    names[f"{package}.{path.stem}"] = path
        own = self.path.resolve().parents
        return {name: folder for name, folder in names.items() if folder not in own}

    # --- lines ---

    def owns(self, filename: str) -> bool:
        """Say whether code of that file name is the learner's."""
        return filename in self._sources

    def line(self, filename: str, number: int) -> str:
        """Return a line of the answer with where it is: `work/05_a.py:12: return 3`."""
        lines = self._sources[filename]
        text = lines[number - 1].strip() if 0 < number <= len(lines) else ""
        cell = filename.removeprefix(self.shown).replace("#", ", code cell ")
        return f"{self.shown}{cell}:{number}: {text}"

    def innermost(self, error: BaseException) -> str:
        """Return the learner's line that an exception, or what caused it, passed last.

        It is "" if there is none.
        """
        for cause in chain(error):
            for frame, number in reversed(list(_frames(cause.__traceback__))):
                if self.owns(frame.f_code.co_filename):
                    return self.line(frame.f_code.co_filename, number)
        return ""

    def passes(self, error: BaseException) -> bool:
        """Say whether an exception itself came through a line of the learner."""
        frames = _frames(error.__traceback__)
        return any(self.owns(frame.f_code.co_filename) for frame, _ in frames)

    def definition(self, thing: Any) -> str:
        """Return the line where a function or class of the answer begins, or ""."""
        if isinstance(thing, type):
            pattern = re.compile(rf"\s*class\s+{re.escape(thing.__name__)}\b")
            for filename, lines in self._sources.items():
                for number, text in enumerate(lines, 1):
                    if pattern.match(text):
                        return self.line(filename, number)
            return ""
        function = inspect.unwrap(getattr(thing, "__func__", thing))
        code = getattr(function, "__code__", None)
        if code is None or not self.owns(code.co_filename):
            return ""
        lines, number = self._sources[code.co_filename], code.co_firstlineno
        begins = re.compile(r"\s*(async\s+def|def|class)\b")
        while number < len(lines) and not begins.match(lines[number - 1]):
            number += 1  # past the decorators
        return self.line(code.co_filename, number)

    # --- loading ---

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Load the answer, and keep it in sys.modules until the end.

        Its folder is at the end of sys.path meanwhile. What it imports from there is
        forgotten with it.
        """
        folder = str(self.path.parent.resolve())
        before = set(sys.modules)
        sys.path.append(folder)
        sys.modules[self.stem] = self.module
        try:
            self._load()
            self.is_loaded = True
            yield
        finally:
            if folder in sys.path:
                sys.path.remove(folder)
            for name in set(sys.modules) - before | {self.stem}:
                module = sys.modules.get(name)
                file = str(getattr(module, "__file__", None) or "")
                if module is self.module or file.startswith(folder):
                    sys.modules.pop(name, None)

    def _load(self) -> None:
        if self.absent:
            raise NotRight(self.absent)
        self.module.__file__ = str(self.path)
        text = read(self.path, self.shown)
        if is_notebook(self.path):
            codes = {
                number: self._compile(_without_magics(cell), f"{self.shown}#{number}")
                for number, cell in enumerate(_code_cells(text, self.shown), 1)
                if not _SKIPPED_CELLS.match(cell)
            }
            with asyncio.Runner() as runner, redirect_stdout(io.StringIO()):
                for number, code in codes.items():
                    self._run_cell(number, code, runner)
            return
        code = self._compile(text, self.shown)
        printed = _Printed(self)
        with redirect_stdout(printed):
            exec(code, vars(self.module))
        if printed.line:
            self.notes.append(
                "your file prints when it is imported; put that under "
                f'`if __name__ == "__main__":`\n    {printed.line}'
            )

    def note_requests(self) -> None:
        """Note that a script sent requests while it was loaded; a notebook may."""
        if not is_notebook(self.path):
            self.notes.append(
                "your file sends requests when it is imported; put that under "
                '`if __name__ == "__main__":`'
            )

    def _run_cell(
        self, number: int, code: types.CodeType, runner: asyncio.Runner
    ) -> None:
        """Run a cell, and only note if it fails: a notebook may try things out."""
        try:
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(eval(code, vars(self.module)))
            else:
                exec(code, vars(self.module))
        except Exception as error:
            self.trouble.append(f"code cell {number} failed: {one_line(error)}")
            self.notes.append(f"{self.trouble[-1]}; it does not count, but clean it up")

    def _compile(self, text: str, name: str) -> types.CodeType:
        """Return the code of a text, unless it is no Python or uses forbidden code."""
        self._sources[name] = text.splitlines()
        flags = _AWAIT if is_notebook(self.path) else 0
        try:
            code = _compiled(text, name, flags)
        except (SyntaxError, ValueError) as error:
            raise _syntax_error(error, self, text, name) from None
        suspects = [one for one in self.forbidden if one.rpartition(".")[2] in text]
        if found := _borrowed_in(text, flags, tuple(suspects)):
            raise NotRight(borrowed(found[0], self, self.line(name, found[1])))
        return code


def find(folder: Path, stem: str, shown: str) -> Answer:
    """Return the answer to an exercise in a folder.

    Loading it raises NotRight if there is none.
    """
    script, notebook = folder / f"{stem}.py", folder / f"{stem}.ipynb"
    found = find_answers(folder, stem)
    people = {name[0] for path in found if (name := match_name(path.name, stem))}
    if len(people) == 1:
        answer = Answer(stem, found[0], f"{shown}/{found[0].name}")
        if found[1:]:
            others = ", ".join(path.name for path in found[1:])
            answer.notes.append(
                f"there is a {others} too; what counts is {found[0].name}"
            )
        return answer
    files = {
        path.stem.lower(): path.name
        for path in folder.iterdir()
        if path.suffix.lower() in (".py", ".ipynb") and path.is_file()
    }
    # A name that begins with another number is the answer to another exercise.
    names = [name for name in files if name[:2] == stem[:2] or name[:2].isalpha()]
    saw = f"there is no {shown}/{script.name}"
    if found:
        names = ", ".join(path.name for path in found)
        saw = f"there are answers of several people in {shown}: {clip(names, 120)}"
    elif script.exists():
        saw = f"{shown}/{script.name} is a folder, not a file"
    elif near := difflib.get_close_matches(stem, names, n=1):
        saw += f", but a {files[near[0]]}: rename it"
    absent = Result(
        did=f"open {shown}/{script.name}",
        saw=saw,
        expected=f"a file {script.name} or {notebook.name}; "
        f"`python -m lessons start {stem[:2]}` makes one in work/",
        kind="no answer",
    )
    return Answer(stem, script, f"{shown}/{script.name}", absent)


def read(path: Path, shown: str) -> str:
    """Return the text of a file, or raise NotRight that says why it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        saw = f"the file cannot be read: {error.strerror}"
        raise _unreadable(shown, saw, "a file that may be read") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:200]:
        saw = "the file is saved as UTF-16, or is not text at all"
        advice = "save as UTF-8: your editor offers it under `Save with encoding`"
        raise _unreadable(shown, saw, advice)
    try:
        encoding = "utf-8-sig"
        if not is_notebook(path):
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (UnicodeDecodeError, SyntaxError, LookupError):
        saw = f"the file is not UTF-8 text{_first_wrong_line(data)}"
        raise _unreadable(shown, saw, "save as UTF-8") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    markers = list(_MARKERS.finditer(text))
    if {"<", ">"} <= {found[1][0] for found in markers}:
        number = text.count("\n", 0, markers[0].start()) + 1
        raise _unreadable(
            shown,
            f"line {number} is a merge marker that git left: {markers[0][0].strip()}",
            "one version: delete the lines <<<<<<<, =======, >>>>>>> and what you do "
            "not want",
            f"{shown}:{number}: {text.splitlines()[number - 1]}",
        )
    return text


def _unreadable(shown: str, saw: str, expected: str, line: str = "") -> NotRight:
    did = f"read {shown}"
    return NotRight(
        Result(did=did, saw=saw, expected=expected, line=line, kind="unreadable")
    )


def _first_wrong_line(data: bytes) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        return f"; look at line {number}"
    return ", though it could be: its first lines name another encoding"


# An answer is loaded for each test, and that should not take longer than the test.
@functools.lru_cache
def _compiled(text: str, name: str, flags: int) -> types.CodeType:
    return compile(text, name, "exec", flags, dont_inherit=True)


@functools.lru_cache
def _borrowed_in(
    text: str, flags: int, names: tuple[str, ...]
) -> tuple[str, int] | None:
    """Return which of the forbidden names a program uses, and in which line.

    Found are imports anywhere, and texts that can be a module or a file to load. What a
    program puts together while it runs is noticed then: see sandbox.py.
    """
    if not names:
        return None
    tree = compile(text, "<answer>", "exec", flags | ast.PyCF_ONLY_AST, True)
    prose: set[int] = set()
    for node in ast.walk(tree):
        modules: list[str] = []
        if isinstance(node, ast.Expr):
            prose.add(id(node.value))  # a docstring, which comes next if it is one
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif id(node) not in prose and _is_text(node):
            modules = [re.sub(r"[/\\]", ".", node.value)]
        for module in modules:
            if name := named_in(module, names):
                return name, node.lineno
    return None


def _is_text(node: ast.AST) -> bool:
    """Say whether a node is a text without blanks: a path is, a message is not."""
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and len(node.value.split()) == 1
    )


class _Printed(io.StringIO):
    """Stands in for the standard output during an import.

    line: the line of the answer that first wrote to it.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer, self.line = answer, ""

    def write(self, text: str) -> int:
        frame = sys._getframe(1)
        while not self.line and frame:
            if self._answer.owns(frame.f_code.co_filename):
                self.line = self._answer.line(frame.f_code.co_filename, frame.f_lineno)
            frame = frame.f_back
        return len(text)


def _frames(
    traceback: types.TracebackType | None,
) -> Iterator[tuple[types.FrameType, int]]:
    while traceback:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _syntax_error(
    error: SyntaxError | ValueError, answer: Answer, text: str, name: str
) -> NotRight:
    """Say where the text stops being Python, with a caret below the place."""
    found = Result(did=f"import {answer.shown}", kind="syntax")
    if not isinstance(error, SyntaxError):  # a NUL in the text
        return NotRight(found._replace(saw=str(error), expected="Python"))
    number, column = error.lineno or 1, error.offset or 1
    lines = text.splitlines()
    raw = lines[number - 1] if number <= len(lines) else ""
    shift = len(raw) - len(raw.lstrip())
    start = answer.line(name, number)
    caret = " " * (len(start) - len(raw.strip()) + max(column - 1 - shift, 0)) + "^"
    return NotRight(
        found._replace(
            saw=f"SyntaxError: {error.msg}",
            expected="a file that Python can read",
            line=f"{start}\n{caret}",
        )
    )


def _code_cells(text: str, shown: str) -> list[str]:
    try:
        cells = json.loads(text)["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        return ["".join(cell["source"]) for cell in code]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        saw = f"the file is not a notebook: {one_line(error)}"
        advice = "a notebook as Jupyter saves it, format 4"
        raise _unreadable(shown, saw, advice) from None


def _without_magics(text: str) -> str:
    """Put `pass` in the place of lines that only a notebook understands.

    These are %magic, !shell, help? and name = %magic.
    """
    lines = text.splitlines()
    if lines and lines[0].startswith("%%"):
        lines[0] = ""
    for _ in lines:
        try:
            compile("\n".join(lines), "<cell>", "exec", _AWAIT, dont_inherit=True)
            break
        except (SyntaxError, ValueError) as error:
            number = (getattr(error, "lineno", None) or 0) - 1
            wrong = lines[number] if 0 <= number < len(lines) else ""
            if not re.match(r"\s*([%!?]|.*\?\s*$|[\w, ]+=\s*[%!])", wrong):
                break
            indent = wrong[: len(wrong) - len(wrong.lstrip())]
            lines[number] = f"{indent}pass"
    return "\n".join(lines)
