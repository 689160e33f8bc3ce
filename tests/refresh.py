"""Run notebooks from top to bottom and store their outputs.

`python -m tests.refresh 01 02` does so for the named lessons, `python -m tests.refresh`
for all.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm import tqdm

from tests.lesson_files import METADATA, NOTEBOOKS


def refresh(path: Path) -> None:
    """Execute one notebook where it lies, and store its outputs.

    Written back are its cells with their tags and outputs, and nothing of this machine.
    Raises CellExecutionError, and leaves the file as it was, if a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=60,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": path.parent}},
    ).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    nbformat.write(notebook, path)


def main(numbers: list[str]) -> None:
    """Refresh the notebooks whose names begin with one of the numbers."""
    known = {path.name[:2]: path for path in NOTEBOOKS}
    unknown = [number for number in numbers if number.zfill(2) not in known]
    if unknown:
        names, numbers = " or ".join(unknown), ", ".join(known)
        sys.exit(f"no notebook begins with {names}; the numbers are {numbers}")
    # The endpoint helper leaves .env alone under pytest. It has to here too, or a real
    # API's answers would be stored.
    os.environ["PYTEST_VERSION"] = "none: python -m tests.refresh"
    paths = [known[number.zfill(2)] for number in numbers] or known.values()
    bar = tqdm(paths, unit="notebook")
    for path in bar:
        bar.set_description(path.stem)
        try:
            refresh(path)
        except CellExecutionError as error:
            sys.exit(f"{path.name}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
