"""Find an answer to an exercise and load it: a script or a notebook, with a sentence
for what can be wrong in it.
"""

import ast
import asyncio
import difflib
import inspect
import io
import json
import re
import sys
import tokenize
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from .feedback import Feedback, chain, one_line

_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_MARKERS = re.compile(r"(?m)^(<{7}|={7}|>{7})(?: |$)")
_SKIPPED_CELLS = re.compile(
    r"%%(?!time\b|timeit\b|capture\b|prun\b)"
)  # cells in another language


class Answer:
    """What somebody handed in for one exercise. Its names are attributes, once it is
    loaded.

    stem: the exercise. path: the file. shown: how to call the file in a message.
        absent: why there is no file.
    notes: sentences on what is no mistake but better left.
    """

    def __init__(
        self, stem: str, path: Path, shown: str, absent: Feedback | None = None
    ) -> None:
        self.stem, self.path, self.shown, self.absent = stem, path, shown, absent
        self.is_loaded = False
        self.notes: list[str] = []
        self.trouble: list[str] = []  # what failed in a cell of a notebook
        self.module = types.ModuleType(stem)
        self._sources: dict[
            str, list[str]
        ] = {}  # the lines of the file, or of each of its cells

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return getattr(self.module, name)
        except AttributeError:
            raise self._missing(name) from None

    def _missing(self, name: str) -> Feedback:
        own = [known for known in vars(self.module) if not known.startswith("_")]
        near = difflib.get_close_matches(name, own, n=1)
        saw = f"there is no {name} in {self.shown}" + (
            f", but a {near[0]}" if near else ""
        )
        if self.trouble:
            saw += f" ({self.trouble[0]})"
        expected = f"the name {name}, exactly as in the exercise"
        line = self.definition(getattr(self.module, near[0])) if near else ""
        return Feedback(saw=saw, expected=expected, line=line, kind="missing")

    # --- lines ---

    def owns(self, filename: str) -> bool:
        """Say whether code of that file name is the learner's."""
        return filename in self._sources

    def line(self, filename: str, number: int) -> str:
        """Return a line of the answer with where it is: `work/05_error_classes.py:12:
        return 3`.
        """
        lines = self._sources[filename]
        text = lines[number - 1].strip() if 0 < number <= len(lines) else ""
        place = (
            filename
            if filename == self.shown
            else filename.replace("#", ", code cell ")
        )
        return f"{place}:{number}: {text}"

    def innermost(self, error: BaseException) -> str:
        """Return the learner's line that an exception, or what caused it, passed last;
        "" if there is none.
        """
        for cause in chain(error):
            for frame, number in reversed(list(_frames(cause.__traceback__))):
                if self.owns(frame.f_code.co_filename):
                    return self.line(frame.f_code.co_filename, number)
        return ""

    def passes(self, error: BaseException) -> bool:
        """Say whether an exception itself came through a line of the learner."""
        return any(
            self.owns(frame.f_code.co_filename)
            for frame, _ in _frames(error.__traceback__)
        )

    def definition(self, thing: Any) -> str:
        """Return the line where a function or class of the answer begins; "" if that is
        unknown.
        """
        if isinstance(thing, type):
            pattern = re.compile(rf"\s*class\s+{re.escape(thing.__name__)}\b")
            for filename, lines in self._sources.items():
                for number, text in enumerate(lines, 1):
                    if pattern.match(text):
                        return self.line(filename, number)
            return ""
        code = getattr(
            inspect.unwrap(getattr(thing, "__func__", thing)), "__code__", None
        )
        if code is None or not self.owns(code.co_filename):
            return ""
        lines, number = self._sources[code.co_filename], code.co_firstlineno
        while number < len(lines) and not re.match(
            r"\s*(async\s+def|def|class)\b", lines[number - 1]
        ):
            number += 1  # past the decorators
        return self.line(code.co_filename, number)

    # --- loading ---

    @contextmanager
    def loaded(self, importing: Callable[[], Any]) -> Iterator[None]:
        """Load the answer and keep it in sys.modules, and its folder at the end of
        sys.path, until the end.

        importing: makes the context in which the code of the file runs.
        """
        folder = str(self.path.parent.resolve())
        before = set(sys.modules)
        sys.path.append(folder)
        sys.modules[self.stem] = self.module
        try:
            self._load(importing)
            self.is_loaded = True
            yield
        finally:
            if folder in sys.path:
                sys.path.remove(folder)
            for name in set(sys.modules) - before | {
                self.stem
            }:  # and what it imported from beside it
                module = sys.modules.get(name)
                if module is self.module or str(
                    getattr(module, "__file__", None) or ""
                ).startswith(folder):
                    sys.modules.pop(name, None)

    def _load(self, importing: Callable[[], Any]) -> None:
        if self.absent:
            raise self.absent
        self.module.__file__ = str(self.path)
        text = read(self.path, self.shown)
        if self.path.suffix == ".ipynb":
            with (
                importing(),
                asyncio.Runner() as runner,
                redirect_stdout(io.StringIO()),
            ):
                for number, cell in enumerate(_code_cells(text, self.shown), 1):
                    self._run_cell(number, cell, runner)
        else:
            self._sources[self.shown] = text.splitlines()
            code = self._compile(text, self.shown, 0)
            printed = _Printed(self)
            with importing(), redirect_stdout(printed):
                exec(code, vars(self.module))
            if printed.line:
                self.notes.append(
                    f'your file prints when it is imported; put that under `if __name__ == "__main__":`\n'
                    f"    {printed.line}"
                )

    def _run_cell(self, number: int, text: str, runner: asyncio.Runner) -> None:
        """Run a cell; that it fails is no more than noted, since a notebook may try
        things out.
        """
        name = f"{self.shown}#{number}"
        if _SKIPPED_CELLS.match(text):
            return
        text = _without_magics(text)
        self._sources[name] = text.splitlines()
        code = self._compile(text, name, _AWAIT)
        try:
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(eval(code, vars(self.module)))
            else:
                exec(code, vars(self.module))
        except Exception as error:
            self.trouble.append(f"code cell {number} failed: {one_line(error)}")
            self.notes.append(f"{self.trouble[-1]}; it does not count, but clean it up")

    def _compile(self, text: str, name: str, flags: int) -> types.CodeType:
        try:
            return compile(text, name, "exec", flags, dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise _syntax_error(error, self, text, name) from None


def find(folder: Path, stem: str, shown: str) -> Answer:
    """Return the answer to an exercise in a folder; loading it raises Feedback if there
    is none.
    """
    script, notebook = folder / f"{stem}.py", folder / f"{stem}.ipynb"
    if script.is_file() or notebook.is_file():
        path = script if script.is_file() else notebook
        answer = Answer(stem, path, f"{shown}/{path.name}")
        if script.is_file() and notebook.is_file():
            answer.notes.append(
                f"there is a {notebook.name} too; what counts is {script.name}"
            )
        return answer
    names = [
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in (".py", ".ipynb") and path.is_file()
    ]
    stems = {Path(name).stem.lower(): name for name in names}
    near = difflib.get_close_matches(
        stem,
        [name for name in stems if name[:2] == stem[:2] or name[:2].isalpha()],
        n=1,
    )
    saw = f"there is no {shown}/{script.name}"
    if script.exists():
        saw = f"{shown}/{script.name} is a folder, not a file"
    elif near:
        saw += f", but a {stems[near[0]]}: rename it"
    absent = Feedback(
        did=f"open {shown}/{script.name}",
        saw=saw,
        expected=f"a file {script.name} or {notebook.name}; `python -m lessons start {stem[:2]}` makes one in work/",
        kind="no answer",
    )
    return Answer(stem, script, f"{shown}/{script.name}", absent)


def read(path: Path, shown: str) -> str:
    """Return the text of a file, or raise Feedback that says why it cannot be read."""

    def unreadable(saw: str, expected: str, line: str = "") -> Feedback:
        return Feedback(
            did=f"read {shown}",
            saw=saw,
            expected=expected,
            line=line,
            kind="unreadable",
        )

    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(
            f"the file cannot be read: {error.strerror}", "a file that may be read"
        ) from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:200]:
        saw = "the file is saved as UTF-16, or is no text at all"
        raise unreadable(
            saw, "save as UTF-8: your editor offers it under `Save with encoding`"
        )
    try:
        encoding = (
            "utf-8-sig"
            if path.suffix == ".ipynb"
            else tokenize.detect_encoding(io.BytesIO(data).readline)[0]
        )
        text = data.decode(encoding)
    except (UnicodeDecodeError, SyntaxError, LookupError):
        raise unreadable(
            f"the file is not UTF-8 text{_first_wrong_line(data)}", "save as UTF-8"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if markers := list(_MARKERS.finditer(text)):
        starts = {found[1][0] for found in markers}
        if {"<", ">"} <= starts:
            number = text.count("\n", 0, markers[0].start()) + 1
            raise unreadable(
                f"line {number} is a merge marker that git left: "
                f"{markers[0][0].strip()}",
                "one version: delete the lines <<<<<<<, =======, >>>>>>> and what you "
                "do not want",
                f"{shown}:{number}: {text.splitlines()[number - 1]}",
            )
    return text


def _first_wrong_line(data: bytes) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        return f"; look at line {number}"
    return ", though it could be: its first lines name another encoding"


class _Printed(io.StringIO):
    """Stands in for the standard output during an import and remembers the line that
    first wrote to it.
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
) -> Feedback:
    """Say where the text stops being Python, with a caret below the place."""
    if not isinstance(error, SyntaxError):  # a NUL in the text
        return Feedback(
            did=f"import {answer.shown}",
            saw=str(error),
            expected="Python",
            kind="syntax",
        )
    number, column = error.lineno or 1, error.offset or 1
    lines = text.splitlines()
    raw = lines[number - 1] if number <= len(lines) else ""
    shift = len(raw) - len(raw.lstrip())
    start = answer.line(name, number)
    caret = " " * (len(start) - len(raw.strip()) + max(column - 1 - shift, 0)) + "^"
    return Feedback(
        did=f"import {answer.shown}",
        saw=f"SyntaxError: {error.msg}",
        expected="a file that Python can read",
        line=f"{start}\n{caret}",
        kind="syntax",
    )


def _code_cells(text: str, shown: str) -> list[str]:
    try:
        cells = json.loads(text)["cells"]
        return [
            "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Feedback(
            did=f"read {shown}",
            saw=f"the file is no notebook: {one_line(error)}",
            expected="a notebook as Jupyter saves it, format 4",
            kind="unreadable",
        ) from None


def _without_magics(text: str) -> str:
    """Put `pass` in the place of lines that only a notebook understands: %magic,
    !shell, help?
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
            wrong = lines[number].strip() if 0 <= number < len(lines) else ""
            if not (
                wrong.startswith(("%", "!", "?"))
                or wrong.endswith("?")
                or re.match(r"[\w, ]+=\s*[%!]", wrong)
            ):
                break
            lines[number] = (
                lines[number][: len(lines[number]) - len(lines[number].lstrip())]
                + "pass"
            )
    return "\n".join(lines)
