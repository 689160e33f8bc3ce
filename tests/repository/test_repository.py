"""The repository holds what its map says, and pins what it needs.

It names no machine, registry or secret.
"""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.lesson_files import (
    MACHINE_PATHS,
    NOTEBOOKS,
    ROOT,
    SCRIPTS,
    SECRETS,
    read_notebook,
    sanitize,
    sanitize_patterns,
    texts,
)

TOP_LEVEL = {
    "README.md",
    "requirements.txt",
    ".env.example",
    "notebooks",
    "lessons",
    "solutions",
    "tests",
    # What convention demands, and what others look for by name.
    "LICENSE",
    "pyproject.toml",
    ".gitignore",
    ".ci",
    ".github",
    ".devcontainer",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
}
# Where pip would fetch packages from, if not from where it fetches them by default.
REGISTRIES = re.compile(
    r"--(?:extra-)?index-url|--find-links|\bpypi-\w+|https?://(?!pypi\.org)[^/\s]*(?:pypi|registry)"
)
TEXT_FILES = {
    *(".py", ".ipynb", ".md", ".txt", ".svg", ""),
    *(".toml", ".json", ".cfg", ".yml", ".yaml", ".example"),
}

needs_git = pytest.mark.skipif(
    not (ROOT / ".git").exists() or not shutil.which("git"),
    reason="this copy of the course is no git repository",
)


def git(*arguments: str) -> list[str]:
    """Return what git prints, line by line."""
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    return done.stdout.splitlines()


def files() -> list[str]:
    """Return the names of all files of the repository.

    What lies beside them, as a learner's notes, is not ours.
    """
    return [name for name in git("ls-files") if (ROOT / name).is_file()]


@needs_git
def test_top_level_is_the_map() -> None:
    """At the top level there is nothing that the map of the course does not name."""
    unknown = {name.partition("/")[0] for name in files()} - TOP_LEVEL
    assert not unknown, f"not on the map: {sorted(unknown)}"


def test_the_container_is_set_up_as_the_readme_says() -> None:
    """Codespaces and VS Code install with the README's words, and open lesson 01."""
    path = ROOT / ".devcontainer" / "devcontainer.json"
    container = json.loads(path.read_text(encoding="utf-8"))
    command = container["postCreateCommand"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"\n{command} && jupyter lab" in readme
    (opened,) = container["customizations"]["codespaces"]["openFiles"]
    assert (ROOT / opened).is_file(), opened


@needs_git
def test_secrets_and_answers_are_ignored() -> None:
    """Git takes neither .env nor the learner's answers, and does take .env.example."""
    options = ("--no-index", "--verbose", "--non-matching")
    ignored = git("check-ignore", *options, ".env", "work/x.py", ".env.example")
    assert [line.startswith("::") for line in ignored] == [False, False, True], ignored


@needs_git
def test_no_file_names_a_machine_a_registry_or_a_secret() -> None:
    """No text holds somebody's folder, a private registry's address, or a key."""
    wrong = []
    for name in files():
        if Path(name).suffix in TEXT_FILES:
            text = (ROOT / name).read_text(encoding="utf-8")
            wrong += [f"{name}: {found}" for found in complaints(name, text)]
    assert not wrong, "\n".join(wrong)


def complaints(name: str, text: str) -> list[str]:
    """Return what a text has that it must not have.

    In a notebook, pictures are left out.
    """
    if name.endswith(".ipynb"):
        text = "\n".join(found for _, found in texts(read_notebook(ROOT / name)))
    expressions = [MACHINE_PATHS, REGISTRIES, SECRETS]
    if name.startswith("tests/"):  # these expressions and made-up examples are there
        expressions = [re.compile(r"/(?:work|farm)/[\w.+-]{2,}")]
    searches = [expression.search(text) for expression in expressions]
    return [found[0] for found in searches if found]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.md", "see /" + "home/ada/notes"),
        (".ci/run", "cd /" + "work/main"),
        ("tests/a.py", "'/" + "work/main'"),
        ("requirements.txt", "--extra-index-" + "url https://example.com/simple"),
        (".ci/run", "pip install -i https://" + "pypi.example.com/simple"),
        ("README.md", "OPENAI_API_KEY=sk-" + "x" * 20),
    ],
)
def test_complaints(name: str, text: str) -> None:
    """Each kind of text that must not be there is noticed."""
    assert complaints(name, text)


def test_requirements_are_pinned() -> None:
    """All that requirements.txt names is pinned, except this folder itself."""
    text = (ROOT / "requirements.txt").read_text("utf-8")
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    pinned = re.compile(r"[\w.-]+==[\w.]+")
    assert [line for line in lines if line and not pinned.fullmatch(line)] == ["-e ."]


def test_requirements_fit_the_ranges() -> None:
    """The first group of requirements.txt lies in the ranges of pyproject.toml."""
    first = (ROOT / "requirements.txt").read_text("utf-8").partition("\n\n")[0]
    pins = re.findall(r"(?m)^([\w.-]+)==(\S+)", first)
    pin_of = {canonicalize_name(name): version for name, version in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needs = map(Requirement, project["dependencies"])
    range_of = {canonicalize_name(need.name): need.specifier for need in needs}
    assert set(pin_of) == set(range_of)
    outside = {name: pin for name, pin in pin_of.items() if pin not in range_of[name]}
    assert not outside


def test_every_lesson_has_notebook_and_script() -> None:
    """The notebook and the script of a lesson have one name."""
    assert [path.stem for path in NOTEBOOKS] == [path.stem for path in SCRIPTS]


def test_readme_lists_every_lesson() -> None:
    """The table of the README leads to every notebook and every script."""
    readme = (ROOT / "README.md").read_text("utf-8")
    links = [f"({path.parent.name}/{path.name})" for path in NOTEBOOKS + SCRIPTS]
    assert [link for link in links if link not in readme] == []


def test_sanitize_file_is_read_whole() -> None:
    """Nbval takes each entry of tests/sanitize.cfg, and each expression can be used."""
    text = (ROOT / "tests" / "sanitize.cfg").read_text("ascii")
    patterns = sanitize_patterns()
    assert len(patterns) == len(re.findall(r"(?m)^\[", text)) == text.count("\nregex:")
    for expression, replacement in patterns:
        re.sub(expression, replacement, "")


@pytest.mark.parametrize(
    "expression", [expression for expression, _ in sanitize_patterns()]
)
def test_sanitize_file_is_short(expression: str) -> None:
    """Each entry is needed by a stored output: others would only hide differences."""
    outputs = [path.read_text("utf-8") for path in SCRIPTS]
    for path in NOTEBOOKS:
        found = texts(read_notebook(path))
        outputs += [text for where, text in found if where.startswith("output of")]
    is_needed = any(re.search(expression, text) for text in outputs)
    assert is_needed, f"nothing stored needs {expression}"


@pytest.mark.parametrize(
    ("output", "same"),
    [
        ("http://127.0.0.1:8123/get", "http://127.0.0.1:49152/get"),
        (" 1  0.00  #1    GET /get", " 1  0.31  #1    GET /get"),
        ("gave up after 0.51 s", "gave up after 0.49 s"),
        ("Date: Mon, 23 Nov 2026 07:00:00 GMT", "Date: Tue, 24 Nov 2026 08:01:02 GMT"),
        ("<Response at 0x7f00deadbeef>", "<Response at 0x10203040>"),
    ],
)
def test_sanitize_file_hides(output: str, same: str) -> None:
    """What differs between two runs for good reason is made equal."""
    assert sanitize(output) == sanitize(same)


@pytest.mark.parametrize(
    ("output", "other"),
    [
        ("status 429", "status 503"),
        (" 1  0.00  #1    GET /get", " 1  0.00  #2    GET /get"),
        ("waits 1.0 s", "waits 2.0 s"),
        ("Retry-After: 1", "Retry-After: 2"),
        ("http://127.0.0.1:8123/get", "http://127.0.0.1:8123/post"),
    ],
)
def test_sanitize_file_hides_no_more(output: str, other: str) -> None:
    """What a lesson is about stays to be compared."""
    assert sanitize(output) != sanitize(other)
