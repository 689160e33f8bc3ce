"""The repository holds what its map says, pins what it needs, and names no machine,
registry or secret.
"""

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
    *(
        "README.md",
        "requirements.txt",
        ".env.example",
        "notebooks",
        "lessons",
        "solutions",
        "tests",
    ),
    # What convention demands, and what others look for by name.
    *(
        "LICENSE",
        "pyproject.toml",
        ".gitignore",
        ".ci",
        ".github",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ),
}
# Where pip would fetch packages from, if not from where it fetches them by default.
REGISTRIES = re.compile(
    r"--(?:extra-)?index-url|--find-links|\bpypi-\w+|https?://(?!pypi\.org)[^/\s]*(?:pypi|registry)"
)
TEXT_FILES = {
    ".py",
    ".md",
    ".toml",
    ".txt",
    ".cfg",
    ".yml",
    ".yaml",
    ".ipynb",
    ".svg",
    ".example",
    "",
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
    """Return the names of all files of the repository; what lies beside them, as a
    learner's notes, is not ours.
    """
    return [name for name in git("ls-files") if (ROOT / name).is_file()]


@needs_git
def test_top_level_is_the_map() -> None:
    """At the top level there is nothing that the map of the course does not name."""
    unknown = {name.partition("/")[0] for name in files()} - TOP_LEVEL
    assert not unknown, f"not on the map: {sorted(unknown)}"


@needs_git
def test_secrets_and_answers_are_ignored() -> None:
    """Git takes neither .env nor the learner's answers, and does take .env.example."""
    ignored = git(
        "check-ignore",
        "--no-index",
        "--verbose",
        "--non-matching",
        ".env",
        "work/x.py",
        ".env.example",
    )
    assert [line.startswith("::") for line in ignored] == [False, False, True], ignored


@needs_git
def test_no_file_names_a_machine_a_registry_or_a_secret() -> None:
    """No text of the repository holds a folder of somebody's machine, an address of a
    private registry, or a key.
    """
    wrong = []
    for name in files():
        if Path(name).suffix in TEXT_FILES:
            wrong += [
                f"{name}: {found}"
                for found in complaints(name, (ROOT / name).read_text(encoding="utf-8"))
            ]
    assert not wrong, "\n".join(wrong)


def complaints(name: str, text: str) -> list[str]:
    """Return what a text has that it must not have.

    In a notebook, pictures are left out.
    """
    if name.endswith(".ipynb"):
        text = "\n".join(found for _, found in texts(read_notebook(ROOT / name)))
    own = name.startswith(
        "tests/"
    )  # where the expressions themselves and made-up examples stand
    expressions = (
        [re.compile(r"/(?:work|farm)/[\w.+-]{2,}")]
        if own
        else [MACHINE_PATHS, REGISTRIES, SECRETS]
    )
    return [
        found[0] for expression in expressions if (found := expression.search(text))
    ]


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
    """Every package that requirements.txt names is pinned to one version; the rest is
    this folder itself.
    """
    lines = [
        line.partition("#")[0].strip()
        for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    ]
    packages = [line for line in filter(None, lines) if line != "-e ."]
    assert [
        line for line in packages if not re.fullmatch(r"[\w.-]+==[\w.]+", line)
    ] == []
    assert "-e ." in lines


def test_requirements_fit_the_ranges() -> None:
    """The ranges of pyproject.toml are for the first group of requirements.txt, whose
    pins lie in them.
    """
    first = (ROOT / "requirements.txt").read_text("utf-8").partition("\n\n")[0]
    pins = {
        canonicalize_name(name): version
        for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", first)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    ranges = {
        canonicalize_name(need.name): need.specifier
        for need in map(Requirement, project["dependencies"])
    }
    assert set(pins) == set(ranges)
    assert {name: pin for name, pin in pins.items() if pin not in ranges[name]} == {}


def test_every_lesson_has_notebook_and_script() -> None:
    """One stem everywhere: who knows the notebook's name finds the script, and the
    other way round.
    """
    assert [path.stem for path in NOTEBOOKS] == [path.stem for path in SCRIPTS]


def test_readme_lists_every_lesson() -> None:
    """The table of the README leads to every notebook and every script."""
    readme = (ROOT / "README.md").read_text("utf-8")
    missing = [
        path.name
        for path in NOTEBOOKS + SCRIPTS
        if f"({path.parent.name}/{path.name})" not in readme
    ]
    assert missing == []


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
    """Each entry is needed by an output that is stored now: what is not needed would
    only hide differences.
    """
    outputs = [
        text
        for path in NOTEBOOKS
        for where, text in texts(read_notebook(path))
        if where.startswith("output of")
    ] + [path.read_text("utf-8") for path in SCRIPTS]
    assert any(re.search(expression, text) for text in outputs), (
        f"nothing stored needs {expression}"
    )


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
