"""Every notebook is stored as a clean run, in the frame of the course; nbval then
compares its outputs.

What nbval 0.11 does not compare: image/png and image/jpeg, widgets, metadata, execution
    counts, the outputs of a cell
with the tag nbval-ignore-output, and those of a cell that was stored un-run. SVG it
does compare, as text.
"""

import base64
import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.lesson_files import (
    MACHINE_PATHS,
    METADATA,
    NOTEBOOKS,
    ROOT,
    SECRETS,
    cells,
    live_hosts,
    read_notebook,
    run,
    source,
    stems,
    texts,
)
from tests.refresh import refresh

TAGS = {"nbval-ignore-output"}
FORMATS = {"text/plain", "text/html", "image/png", "image/svg+xml"}
MOST_TAGGED = 3  # cells
MOST_LINES = 35  # of a code cell
MOST_BYTES = 150_000  # of a picture
LABELS = ("You will do", "You will learn", "You need")
CLOSING = ("## What you now know", "## In practice", "## Exercise")
Notebook = dict[str, Any]


def clean_run(notebook: Notebook) -> list[str]:
    """The code cells ran once each, from the first to the last, and none is empty."""
    code = cells(notebook, "code")
    counts = [cell["execution_count"] for cell in code]
    wrong = (
        []
        if counts == [*range(1, len(code) + 1)]
        else [f"counts {counts} are not 1 to {len(code)}: run it anew"]
    )
    return wrong + [
        f"cell {cell['id']} is empty"
        for cell in notebook["cells"]
        if not source(cell).strip()
    ]


ADDED_BY_JUPYTER = {
    "kernelspec": {"display_name"},
    "language_info": {
        *("codemirror_mode", "file_extension", "mimetype", "nbconvert_exporter"),
        *("pygments_lexer", "version"),
    },
}


def clean_metadata(notebook: Notebook) -> list[str]:
    """The metadata names the kernel and the language, and nothing of a machine; cells
    have tags at most.

    What Jupyter adds when somebody saves a notebook is no fault of theirs.
    """
    found = copy.deepcopy(notebook["metadata"])
    for part, names in ADDED_BY_JUPYTER.items():
        for name in names & set(found.get(part, {})):
            del found[part][name]
    wanted = copy.deepcopy(METADATA)
    del wanted["kernelspec"]["display_name"]
    wrong = [] if found == wanted else [f"the metadata is {found}, not {wanted}"]
    for cell in notebook["cells"]:
        metadata = cell["metadata"]
        if set(metadata) - {"tags"} or set(metadata.get("tags", [])) - TAGS:
            wrong.append(
                f"cell {cell['id']} has metadata {metadata}: allowed are only the "
                f"tags {sorted(TAGS)}"
            )
        if "attachments" in cell:
            wrong.append(
                f"cell {cell['id']} has a file inside: put it into notebooks/images"
            )
    return wrong


def few_tags(notebook: Notebook) -> list[str]:
    """Almost every output is compared: few cells are tagged, and no comment switches
    nbval off.
    """
    tagged = [cell["id"] for cell in notebook["cells"] if cell["metadata"].get("tags")]
    wrong = (
        [f"{len(tagged)} cells have tags, allowed are {MOST_TAGGED}"]
        if len(tagged) > MOST_TAGGED
        else []
    )
    hidden = [
        cell["id"]
        for cell in cells(notebook, "code")
        if re.search(r"#\s*(NBVAL|PYTEST)_", source(cell))
    ]
    return wrong + [
        f"cell {name} switches nbval with a comment: use the tag" for name in hidden
    ]


def valid_format(notebook: Notebook) -> list[str]:
    """The format is 4.5, in which each cell has an id of its own."""
    if (notebook["nbformat"], notebook["nbformat_minor"]) != (4, 5):
        return [
            f"the format is {notebook['nbformat']}.{notebook['nbformat_minor']}, not "
            "4.5"
        ]
    names = [cell.get("id", "") for cell in notebook["cells"]]
    if "" in names or len({*names}) < len(names):
        return [f"each cell needs an id of its own; these are {names}"]
    try:
        nbformat.validate(nbformat.from_dict(copy.deepcopy(notebook)))
    except nbformat.ValidationError as error:
        return [f"no valid notebook: {error}"]
    return []


def no_secret(notebook: Notebook) -> list[str]:
    """Nothing in a notebook looks like a key."""
    return [
        f"{where} has {found[0]!r}"
        for where, text in texts(notebook)
        if (found := SECRETS.search(text))
    ]


def no_machine_path(notebook: Notebook) -> list[str]:
    """Nothing in a notebook names a folder of the machine that it was run on."""
    return [
        f"{where} has {found[0]!r}"
        for where, text in texts(notebook)
        if (found := MACHINE_PATHS.search(text))
    ]


def no_live_address(notebook: Notebook) -> list[str]:
    """No code cell names an address outside this machine, not even in a comment."""
    found = [(cell["id"], live_hosts(source(cell))) for cell in cells(notebook, "code")]
    return [f"cell {name} names {', '.join(hosts)}" for name, hosts in found if hosts]


def short_cells(notebook: Notebook) -> list[str]:
    """No code cell is so long that a beginner loses the thread."""
    lines = [
        (cell["id"], len(source(cell).splitlines())) for cell in cells(notebook, "code")
    ]
    return [
        f"cell {name} has {count} lines, allowed are {MOST_LINES}"
        for name, count in lines
        if count > MOST_LINES
    ]


def readable_outputs(notebook: Notebook) -> list[str]:
    """The outputs hold no traceback, nothing on stderr, only formats that GitHub shows
    too, and no large picture.
    """
    wrong = []
    for cell in cells(notebook, "code"):
        is_compared = not cell["metadata"].get("tags")
        for output in cell["outputs"]:
            kind = output["output_type"]
            if kind == "error" or (
                kind == "stream" and output["name"] == "stderr" and is_compared
            ):
                wrong.append(
                    f"cell {cell['id']} stores {output.get('ename', 'text on stderr')}"
                )
            for name, data in output.get("data", {}).items():
                text = "".join(data)
                size = (
                    len(base64.b64decode(text))
                    if name == "image/png"
                    else len(text.encode())
                )
                if name not in FORMATS:
                    wrong.append(
                        f"cell {cell['id']} stores {name}: allowed are "
                        f"{sorted(FORMATS)}"
                    )
                elif size > MOST_BYTES:
                    wrong.append(
                        f"cell {cell['id']} stores {size:,} bytes of {name}, allowed "
                        f"are {MOST_BYTES:,}"
                    )
    return wrong


def frame(notebook: Notebook) -> list[str]:
    """A notebook opens and closes like all others: title, labels, way through the
    course; closing headings.
    """
    opening = "\n".join(
        source(cell)
        for cell in notebook["cells"][:4]
        if cell["cell_type"] == "markdown"
    )
    text = "\n".join(source(cell) for cell in cells(notebook, "markdown"))
    headings = [line for line in text.splitlines() if line in CLOSING]
    wrong = (
        []
        if re.match(r"# \d\d \S", opening)
        else ["the first cell does not begin with '# NN Title'"]
    )
    wrong += [
        f"the opening has no '{label}'" for label in LABELS if label not in opening
    ]
    wrong += (
        []
        if headings == list(CLOSING)
        else [f"the closing headings are {headings}, not {list(CLOSING)}"]
    )
    closing = text.partition(CLOSING[-1])[2]
    for place, part in (("opening", opening), ("closing", closing)):
        wrong += (
            []
            if "[contents](../README.md" in part
            else [f"the {place} has no line 'previous | contents | next'"]
        )
    code = cells(notebook, "code")
    stops = bool(code) and "server.stop()" in source(code[-1])
    return wrong + ([] if stops else ["the last code cell does not stop the server"])


def no_list_by_accident(notebook: Notebook) -> list[str]:
    """No line of prose begins like "200. The table": Markdown makes a list of it."""
    return [
        f"cell {cell['id']} has the line {line!r}"
        for cell in cells(notebook, "markdown")
        for line in source(cell).splitlines()
        if re.match(r"\d+[.)] ", line)
    ]


CHECKS = [
    clean_run,
    clean_metadata,
    few_tags,
    valid_format,
    no_secret,
    no_machine_path,
    no_live_address,
    short_cells,
    readable_outputs,
    frame,
    no_list_by_accident,
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=stems(NOTEBOOKS))
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_notebook(check: Callable[[Notebook], list[str]], path: Path) -> None:
    """A stored notebook passes the check."""
    wrong = check(read_notebook(path))
    assert not wrong, f"{path.name}: {check.__doc__}\n" + "\n".join(wrong)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=stems(NOTEBOOKS))
def test_title_has_the_number_of_the_file(path: Path) -> None:
    """The title begins with the two digits that the name of the file begins with."""
    title = source(read_notebook(path)["cells"][0]).partition("\n")[0]
    assert title.startswith(f"# {path.name[:2]} "), f"{path.name} is titled {title!r}"


def made_up() -> Notebook:
    """Return a notebook that passes all checks."""
    way = "previous | [contents](../README.md) | next"
    prose = [
        "# 01 Made up\n",
        f"**You will do** a.\n**You will learn** b.\n**You need** c.\n\n{way}",
    ]
    closing = (
        "## What you now know\n\nMuch.\n\n## In practice\n\nMore.\n\n## "
        "Exercise\n\nWrite.\n\n" + way
    )

    def code(name: str, count: int, text: str, *outputs: Notebook) -> Notebook:
        return {
            "cell_type": "code",
            "execution_count": count,
            "id": name,
            "metadata": {},
            "outputs": list(outputs),
            "source": text,
        }

    return {
        "cells": [
            {"cell_type": "markdown", "id": "title", "metadata": {}, "source": prose},
            code(
                "say",
                1,
                "print(7)",
                {"output_type": "stream", "name": "stdout", "text": ["7\n"]},
            ),
            code("stop", 2, "server.stop()"),
            {"cell_type": "markdown", "id": "close", "metadata": {}, "source": closing},
        ],
        "metadata": copy.deepcopy(METADATA),
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def show(cell: Notebook, kind: str, data: str) -> None:
    """Give a cell an output of that kind."""
    cell["outputs"] = [
        {"output_type": "display_data", "data": {kind: data}, "metadata": {}}
    ]


# What is done to the good notebook, and the check that has to notice.
DAMAGE = {
    "un-run": (clean_run, lambda book: book["cells"][1].update(execution_count=None)),
    "run twice": (clean_run, lambda book: book["cells"][1].update(execution_count=3)),
    "empty cell": (clean_run, lambda book: book["cells"][1].update(source="\n")),
    "kernel of somebody": (
        clean_metadata,
        lambda book: book["metadata"]["kernelspec"].update(name="my-own"),
    ),
    "time of a run": (
        clean_metadata,
        lambda book: book["cells"][1].update(metadata={"execution": {}}),
    ),
    "unknown tag": (
        clean_metadata,
        lambda book: book["cells"][1].update(metadata={"tags": ["nbval-skip"]}),
    ),
    "attachment": (
        clean_metadata,
        lambda book: book["cells"][0].update(attachments={}),
    ),
    "many tags": (
        few_tags,
        lambda book: book["cells"].extend(
            [{**book["cells"][1], "metadata": {"tags": ["nbval-ignore-output"]}}] * 4
        ),
    ),
    "comment for nbval": (
        few_tags,
        lambda book: book["cells"][1].update(source="# NBVAL_SKIP\nprint(7)"),
    ),
    "old format": (valid_format, lambda book: book.update(nbformat_minor=4)),
    "no id": (valid_format, lambda book: book["cells"][1].pop("id")),
    "no source": (valid_format, lambda book: book["cells"][1].pop("source")),
    "the same id": (valid_format, lambda book: book["cells"][1].update(id="stop")),
    "key in an output": (
        no_secret,
        lambda book: show(book["cells"][1], "text/plain", "sk-" + "a1" * 10),
    ),
    "key in the code": (
        no_secret,
        lambda book: book["cells"][1].update(source="key = 'sk-" + "proj-" * 3 + "'"),
    ),
    "path in an output": (
        no_machine_path,
        lambda book: show(book["cells"][1], "text/plain", "/" + "home/ada/x.py"),
    ),
    "path on Windows": (
        no_machine_path,
        lambda book: show(book["cells"][1], "text/plain", r"C:\Users\ada"),
    ),
    "live address": (
        no_live_address,
        lambda book: book["cells"][1].update(source="get('https://example.com/')"),
    ),
    "long cell": (
        short_cells,
        lambda book: book["cells"][1].update(source="print(7)\n" * 36),
    ),
    "traceback": (
        readable_outputs,
        lambda book: book["cells"][1].update(
            outputs=[
                {
                    "output_type": "error",
                    "ename": "ValueError",
                    "evalue": "",
                    "traceback": [],
                }
            ]
        ),
    ),
    "warning": (
        readable_outputs,
        lambda book: book["cells"][1]["outputs"][0].update(name="stderr"),
    ),
    "widget": (
        readable_outputs,
        lambda book: show(
            book["cells"][1], "application/vnd.jupyter.widget-view+json", ""
        ),
    ),
    "large picture": (
        readable_outputs,
        lambda book: show(
            book["cells"][1], "image/png", base64.b64encode(bytes(150_001)).decode()
        ),
    ),
    "no title": (frame, lambda book: book["cells"].pop(0)),
    "no label": (frame, lambda book: book["cells"][0].update(source="# 01 Made up")),
    "no closing": (
        frame,
        lambda book: book["cells"][3].update(
            source="## Exercise\n[contents](../README.md)"
        ),
    ),
    "no way on": (
        frame,
        lambda book: book["cells"][3].update(source="\n\n".join(CLOSING)),
    ),
    "server left running": (frame, lambda book: book["cells"].pop(2)),
    "answer that begins with a number": (
        no_list_by_accident,
        lambda book: book["cells"][3].update(source="200. The table says why."),
    ),
}


def test_good_notebook_passes() -> None:
    """The made-up notebook passes every check, so that what the next test sees is the
    damage.
    """
    assert [wrong for check in CHECKS for wrong in check(made_up())] == []


@pytest.mark.parametrize("name", DAMAGE)
def test_check_notices(name: str) -> None:
    """Each kind of damage is noticed by the check that is meant for it."""
    check, damage = DAMAGE[name]
    notebook = made_up()
    damage(notebook)
    assert check(notebook), f"{check.__name__} did not notice: {name}"


def test_notebook_that_jupyter_saved_passes() -> None:
    """JupyterLab saves an open notebook by itself, and names its own Python in it."""
    saved = {
        "kernelspec": {
            "display_name": "My Python",
            "language": "python",
            "name": "python3",
        },
        "language_info": {
            "codemirror_mode": {"name": "ipython", "version": 3},
            "file_extension": ".py",
            "mimetype": "text/x-python",
            "name": "python",
            "nbconvert_exporter": "python",
            "pygments_lexer": "ipython3",
            "version": "3.13.1",
        },
    }
    assert clean_metadata(made_up() | {"metadata": saved}) == []


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        (
            "http://127.0.0.1:8000/get http://localhost/ "
            "https://api.example.invalid/v1 f'{server.url}/x'",
            [],
        ),
        ("https://api.openai.com/v1", ["api.openai.com"]),
        (
            "an address begins with http:// or https://, as in http://localhost, not "
            "https://a.com.",
            ["a.com"],
        ),
        ("http://127.0.0.1.evil.com", ["127.0.0.1.evil.com"]),
        ("http://user@example.com/", ["user@example.com"]),
    ],
)
def test_live_hosts(text: str, hosts: list[str]) -> None:
    """Hosts of this machine and reserved names are not live, all others are."""
    assert live_hosts(text) == hosts


def test_refresh_stores_a_clean_run(tmp_path: Path) -> None:
    """A refreshed notebook has new outputs, its old ids and tags, and none of a
    machine's metadata.
    """
    notebook = made_up()
    notebook["metadata"]["language_info"]["version"] = "2.7"
    notebook["cells"][1].update(
        source="print(6 * 7)",
        execution_count=None,
        metadata={"tags": ["nbval-ignore-output"], "collapsed": False},
    )
    notebook["cells"][2].update(
        source="server = type('S', (), {'stop': print})\nserver.stop()"
    )
    path = tmp_path / "01_made_up.ipynb"
    nbformat.write(nbformat.from_dict(notebook), path)
    refresh(path)
    stored = read_notebook(path)
    assert [wrong for check in CHECKS for wrong in check(stored)] == []
    assert stored["cells"][1]["outputs"][0]["text"] == ["42\n"]
    assert stored["cells"][1]["metadata"] == {"tags": ["nbval-ignore-output"]}
    assert [cell["id"] for cell in stored["cells"]] == ["title", "say", "stop", "close"]


def test_nbval_notices_a_changed_output(tmp_path: Path) -> None:
    """As it is set up here, nbval compares text and SVG, but neither PNG nor a cell
    that was stored un-run.
    """
    cases = {  # code, kind and data of the stored output, count, what becomes of it
        "same": (
            "print('port', 'http://127.0.0.1:4321')",
            "stdout",
            "port http://127.0.0.1:9876\n",
            1,
            "PASSED",
        ),
        "changed": ("print(7)", "stdout", "8\n", 2, "FAILED"),
        "svg": (
            "display({'image/svg+xml': '<svg/>'}, raw=True)",
            "image/svg+xml",
            "<svg>old</svg>",
            3,
            "FAILED",
        ),
        "png": (
            "display({'image/png': 'bmV3'}, raw=True)",
            "image/png",
            "b2xk",
            4,
            "PASSED",
        ),
        "un-run": ("print(7)", None, "", None, "PASSED"),
        "missing": ("print(7)", None, "", 6, "FAILED"),
    }
    notebook = made_up()
    code = notebook["cells"][1]
    notebook["cells"] = []
    for name, (text, kind, data, count, _) in cases.items():
        cell = {
            **code,
            "id": name,
            "source": text,
            "execution_count": count,
            "outputs": [],
        }
        if kind == "stdout":
            cell["outputs"] = [
                {"output_type": "stream", "name": "stdout", "text": data}
            ]
        elif kind:
            show(cell, kind, data)
        notebook["cells"].append(cell)
    path = tmp_path / "made_up.ipynb"
    nbformat.write(nbformat.from_dict(notebook), path)
    options = [
        "-c",
        ROOT / "pyproject.toml",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "-rA",
        "-q",
        "--color=no",
    ]
    done = run("-m", "pytest", *options, path)
    verdicts = re.findall(r"(?m)^(PASSED|FAILED) .*::(Cell \d)", done.stdout)
    seen = {cell: verdict for verdict, cell in verdicts}
    wanted = {
        f"Cell {number}": verdict for number, (*_, verdict) in enumerate(cases.values())
    }
    assert seen == wanted, done.stdout + done.stderr
