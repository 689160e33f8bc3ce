"""What the tests of the lessons share.

Where the lessons are, what is in a notebook, how to load a script and to run a program.
"""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from nbval.plugin import get_sanitize_patterns

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SCRIPTS = sorted((ROOT / "lessons").glob("[0-9][0-9]_*.py"))
# The metadata of every stored notebook: nothing that differs from machine to machine.
METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
# What looks like a secret. The mock server's own key may be shown.
SECRETS = re.compile(
    r"\bsk-[\w-]{8,}|\bgh[a-z]_\w{20,}|\bhf_\w{20,}|\bAKIA[A-Z0-9]{12,}|\bAIza[\w-]{20,}|\bxox[a-z]-[\w-]{10,}"
    r"|\beyJ[\w-]{10,}\.|Bearer (?!mock-key)[\w.~+/-]{20,}"
)
MACHINE_PATHS = re.compile(
    r"(?<![\w.])/(?:work|tmp|root|home|farm|Users|opt|private|mnt|var/folders)/[\w.+-]{2,}|\b[A-Za-z]:\\+Users\b"
    r"|\bsite-packages\b"
)
_HOSTS = re.compile(r"https?://(\[[^\]]*\]|[\w{][^\s/:\"'`)\\]*)")
# 127.0.0.1 and localhost, and names that no resolver knows (RFC 2606). An f-string may
# put in a name of the server's.
_OWN_HOST = re.compile(
    r"127\.0\.0\.1|localhost|\{.*|(?:[\w-]+\.)*(?:invalid|test|example)"
)


def read_notebook(path: Path) -> dict[str, Any]:
    """Return a notebook as it is stored."""
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell: dict[str, Any]) -> str:
    """Return the text of a cell."""
    return "".join(cell["source"])


def cells(notebook: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the cells of one kind, "code" or "markdown"."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def load(path: Path) -> ModuleType:
    """Return a script as a fresh module: no import can name a file that begins so."""
    name = f"{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclass looks for it
    spec.loader.exec_module(module)
    return module


def parse(code: str) -> ast.Module:
    """Parse the code of a script or of a cell.

    In a cell, `await` may stand alone and a line may be a magic.
    """
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        return compile(code, "<code>", "exec", flags)
    except SyntaxError:
        without_magics = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", code)
        return compile(without_magics, "<code>", "exec", flags)


def code_of(path: Path) -> list[str]:
    """Return the code of a notebook, cell by cell, or of a script as a whole."""
    if path.suffix == ".ipynb":
        return [source(cell) for cell in cells(read_notebook(path), "code")]
    return [path.read_text(encoding="utf-8")]


def imports(path: Path) -> set[str]:
    """Return the top-level modules that a notebook or a script imports anywhere."""
    found = set()
    for node in (node for code in code_of(path) for node in ast.walk(parse(code))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def live_hosts(text: str) -> list[str]:
    """Return the hosts in the addresses of a text that are not this machine."""
    hosts = [host.rstrip(".,;?") for host in _HOSTS.findall(text)]
    return [host for host in hosts if not _OWN_HOST.fullmatch(host)]


def sanitize_patterns() -> list[tuple[str, str]]:
    """Return the expressions of tests/sanitize.cfg, each with its replacement.

    They are read as nbval reads them.
    """
    text = (ROOT / "tests" / "sanitize.cfg").read_text(encoding="ascii")
    return get_sanitize_patterns(text)


def sanitize(text: str) -> str:
    """Replace what may differ between two runs, as nbval does in stored outputs."""
    for expression, replacement in sanitize_patterns():
        text = re.sub(expression, replacement, text)
    return text


def environment(**changes: str | None) -> dict[str, str]:
    """Return the environment for a child process: UTF-8, no colours, and the changes.

    A name whose value is None is removed.
    """
    merged = {**os.environ, "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1", **changes}
    return {name: value for name, value in merged.items() if value is not None}


def run(
    *command: str | Path,
    python: str | Path = sys.executable,
    cwd: Path = ROOT,
    **changes: str | None,
) -> subprocess.CompletedProcess:
    """Run Python with the arguments, for a minute at most.

    changes: to the environment.
    """
    return subprocess.run(
        [str(python), *map(str, command)],
        cwd=cwd,
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def copy_folder(name: str, root: Path, *left_out: str) -> None:
    """Copy a folder of the course to the same place in another tree.

    Compiled files come along, so that the copy starts as fast as the original.

    left_out: patterns of names.
    """
    # A compiled file has such a name while it is written.
    ignored = shutil.ignore_patterns("*.egg-info", "*.pyc.*", *left_out)
    shutil.copytree(ROOT / name, root / name, ignore=ignored)


def stems(paths: list[Path]) -> list[str]:
    """Return the names of files without their endings, to name a test after each."""
    return [path.stem for path in paths]


def texts(notebook: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield every text in a notebook, after where it is.

    These are the sources, and the outputs in all formats but pictures.
    """
    for number, cell in enumerate(notebook["cells"]):
        yield f"cell {number}", source(cell)
        for output in cell.get("outputs", []):
            kept = {**output, "output_type": "", "metadata": {}}
            data = output.get("data", {})
            kept["data"] = [data[kind] for kind in data if kind[:6] != "image/"]
            yield f"output of cell {number}", "\n".join(_strings(kept))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        yield "".join(value)
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)
