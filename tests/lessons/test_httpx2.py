"""Every script that imports httpx, and the notebook on streams, also run unchanged
under httpx2, its continuation.

The other notebooks build the modules that the scripts run.
"""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from lessons.course.pacing import main_path
from tests.lesson_files import NOTEBOOKS, SCRIPTS, imports, run, stems

ALIAS = "import httpx2\n\nhttpx2.alias_httpx()"
# Runs the script that is its first argument as `python SCRIPT` does, with httpx2 in the
# place of httpx.
RUNNER = f"""{ALIAS}
import os, runpy, sys
script = sys.argv[1]
sys.argv = [script]
sys.path[0] = os.path.dirname(script)
runpy.run_path(script, run_name="__main__")
"""


def users_of_httpx(paths: list[Path]) -> list[Path]:
    """Return the scripts or notebooks that import httpx."""
    return [path for path in paths if "httpx" in imports(path)]


def run_notebook(path: Path) -> None:
    """Run the main path of a notebook, with httpx2 in the place of httpx.

    Raises CellExecutionError.
    """
    notebook = nbformat.read(path, as_version=4)
    alias = nbformat.v4.new_code_cell(ALIAS)
    notebook.cells = [alias, *main_path(notebook.cells)]
    resources = {"metadata": {"path": path.parent}}
    NotebookClient(
        notebook, kernel_name="python3", timeout=60, resources=resources
    ).execute()


SCRIPTS_WITH_HTTPX = users_of_httpx(SCRIPTS)
STREAMS = next(path for path in NOTEBOOKS if path.stem == "07_sse_streaming")


@pytest.mark.parametrize("script", SCRIPTS_WITH_HTTPX, ids=stems(SCRIPTS_WITH_HTTPX))
def test_script_under_httpx2(script: Path) -> None:
    """A script with httpx ends well under httpx2 too."""
    done = run("-c", RUNNER, script)
    assert done.returncode == 0, done.stderr


def test_notebook_under_httpx2() -> None:
    """A notebook with httpx raises no error under httpx2 either."""
    assert users_of_httpx([STREAMS]), "it does not use httpx"
    run_notebook(STREAMS)


def write_notebook(path: Path, code: str) -> None:
    """Write a notebook of one code cell."""
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), path
    )


def test_users_of_httpx_are_found(tmp_path: Path) -> None:
    """An import is found in a script and in a notebook, in any of its forms, and
    nothing else is taken for one.
    """
    users = {
        "a.py": "import httpx",
        "b.py": "import os\n\n\ndef f():\n    from httpx import Client",
        "c.ipynb": "%matplotlib inline\nimport httpx as h\nawait h.AsyncClient().get()",
    }
    others = {
        "d.py": "import httpx_sse",
        "e.py": "# import httpx",
        "f.ipynb": "import requests",
    }
    for name, code in {**users, **others}.items():
        if name.endswith(".py"):
            (tmp_path / name).write_text(code)
        else:
            write_notebook(tmp_path / name, code)
    assert [path.name for path in users_of_httpx(sorted(tmp_path.iterdir()))] == [
        *users
    ]


def test_script_and_notebook_get_httpx2(tmp_path: Path) -> None:
    """What runs this way has httpx2 under the name of httpx, and an error in it is
    noticed.
    """
    code = "import httpx, sys\n"
    code += "assert httpx.Client.__module__.startswith('httpx2'), httpx\n"
    script, notebook = tmp_path / "a.py", tmp_path / "a.ipynb"
    script.write_text(code + "sys.exit(f'{sys.argv} {__name__} {sys.path[0]}')")
    assert run("-c", RUNNER, script).stderr == f"{[str(script)]} __main__ {tmp_path}\n"
    write_notebook(notebook, code + "raise LookupError('seen')")
    with pytest.raises(CellExecutionError, match="seen"):
        run_notebook(notebook)
