"""Run notebooks from top to bottom and store their outputs: `python -m tests.refresh [NN ...]`, all without a number."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from tqdm import tqdm

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def refresh(path: Path) -> None:
    """Execute one notebook where it lies and write it back with nothing but its cells, tags and outputs."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, kernel_name="python3", record_timing=False, resources={"metadata": {"path": path.parent}}
    ).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    nbformat.write(notebook, path)


def main(numbers: list[str]) -> None:
    """Refresh the notebooks whose names begin with one of the numbers."""
    paths = [path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")) if not numbers or path.name[:2] in numbers]
    if not paths:
        sys.exit(f"no notebook begins with {' or '.join(numbers)}; the numbers are 01, 02, ...")
    for path in (bar := tqdm(paths, unit="notebook")):
        bar.set_description(path.stem)
        refresh(path)


if __name__ == "__main__":
    main(sys.argv[1:])
