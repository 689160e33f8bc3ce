"""Every lesson script runs straight from a clone: no installed helpers, another working
directory, few packages.
"""

import ast
import importlib.metadata
import json
import re
import subprocess
import textwrap
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lessons.course.doctor import read_requirements
from tests.lesson_files import (
    SCRIPTS,
    copy_folder,
    live_hosts,
    parse,
    run,
    sanitize,
    stems,
)

# A copy of what tqdm writes: "reading:  40%|####      | 4/10 [00:01<00:01,  3.31it/s]",
# with a return before each.
PROGRESS = re.compile(r".*?\d+%\|.*\| *\d\S*/\d\S* \[.*\]|.*\d\S*it \[.*\]|\s*")
WORDS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
SECONDS = re.compile(rf"\b([\d.]+|{'|'.join(WORDS)})\s+(?:s|seconds?)\b")
# a busy machine may take so many times longer than the docstring says, and 5 s more
MARGIN = 4

# Python imports a module of this name, if there is one, before it starts a program.
SITECUSTOMIZE = """
import atexit, importlib.machinery, json, os, sys
blocked, report = json.loads(os.environ["ISOLATION"])

class FirstGroupOnly(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        is_blocked = name.partition(".")[0] in blocked
        return None if is_blocked else super().find_spec(name, path, target)

def is_helper(folder):
    return os.path.isdir(os.path.join(folder, "mock_server"))

def is_editable(finder):
    return "__editable__" in getattr(finder, "__module__", "")

def write_report():
    if sys.argv[0] == "-c":  # a helper of multiprocessing
        return
    files = {}
    for name, module in sys.modules.items():
        if getattr(module, "__file__", None):
            files[name] = module.__file__
    with open(report, "w", encoding="utf-8") as file:
        json.dump(files, file)

finders = [FirstGroupOnly]
for finder in sys.meta_path:
    if finder is not importlib.machinery.PathFinder and not is_editable(finder):
        finders.insert(-1, finder)
sys.path[:] = [folder for folder in sys.path if not is_helper(folder)]
sys.meta_path[:] = finders
atexit.register(write_report)
"""


def outside_first_group() -> list[str]:
    """Return the modules of all installed packages that a lesson script has to do
    without.
    """
    kept, queue = (
        {"broken-on-purpose"},
        [canonicalize_name(name) for name in read_requirements(group=0)],
    )
    while queue:
        name = queue.pop()
        if name not in kept:
            kept.add(name)
            needs = map(Requirement, importlib.metadata.requires(name) or [])
            queue += [
                canonicalize_name(need.name)
                for need in needs
                if not need.marker or need.marker.evaluate({"extra": ""})
            ]
    owners = importlib.metadata.packages_distributions()
    return [
        module
        for module, names in owners.items()
        if not kept & {canonicalize_name(name) for name in names}
    ]


class Clone:
    """A copy of the lessons where a program finds neither the installed helpers nor
    more packages than it may need.
    """

    def __init__(self, folder: Path) -> None:
        self.lessons = folder / "clone" / "lessons"
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        copy_folder("lessons", folder / "clone")
        self._custom = folder / "custom"
        self._custom.mkdir()
        (self._custom / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
        self._report = folder / "modules.json"
        self._isolation = json.dumps([outside_first_group(), str(self._report)])

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess:
        """Run a script of the copy, from a folder elsewhere."""
        changes = {"PYTHONPATH": str(self._custom), "ISOLATION": self._isolation}
        return run(self.lessons / script, *arguments, cwd=self.elsewhere, **changes)

    def modules(self) -> dict[str, Path]:
        """Return the modules that the last program had imported, and their files."""
        return {
            name: Path(file)
            for name, file in json.loads(
                self._report.read_text(encoding="utf-8")
            ).items()
        }


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """One copy of the lessons for all tests of this file."""
    return Clone(tmp_path_factory.mktemp("scripts"))


def sample_run(docstring: str) -> str:
    """Return the sample run at the end of a docstring, "" if there is none."""
    return textwrap.dedent(docstring.partition("Sample run:\n")[2]).strip("\n")


def seconds(docstring: str) -> float:
    """Return the last time that a docstring names before its sample run, 0 without."""
    times = SECONDS.findall(docstring.partition("Sample run:")[0])
    return float(WORDS.get(times[-1], times[-1])) if times else 0.0


def trim(output: str) -> str:
    """Return an output as a docstring holds it: without spaces at the ends of lines."""
    return "\n".join(
        line.rstrip() for line in sanitize(output).strip("\n").splitlines()
    )


def stray(stderr: str) -> list[str]:
    """Return what is on stderr beside progress bars."""
    return [
        line for line in re.split(r"[\r\n]", stderr) if not PROGRESS.fullmatch(line)
    ]


@pytest.mark.parametrize("script", SCRIPTS, ids=stems(SCRIPTS))
def test_script_does_what_its_docstring_shows(script: Path, clone: Clone) -> None:
    """A script ends well, in about the time it says, prints its sample run only, and
    uses its own helpers.
    """
    wanted = sample_run(
        ast.get_docstring(parse(script.read_text(encoding="utf-8"))) or ""
    )
    limit = seconds(ast.get_docstring(parse(script.read_text(encoding="utf-8"))))
    assert wanted, f"the docstring of {script.name} has no sample run at its end"
    assert limit, (
        f"the docstring of {script.name} does not say how many seconds it takes"
    )
    start = time.monotonic()
    done = clone.run(script.name)
    took = time.monotonic() - start
    assert done.returncode == 0, done.stderr
    assert stray(done.stderr) == []
    assert trim(done.stdout).splitlines() == trim(wanted).splitlines(), (
        f"the sample run of {script.name} is out of date"
    )
    assert took < MARGIN * limit + 5, (
        f"{script.name} says {limit} s and took {took:.1f} s"
    )
    own = {
        name: file
        for name, file in clone.modules().items()
        if name in ("mock_server", "endpoint")
    }
    assert len(own) == 2, f"{script.name} uses only {list(own)} of the helpers"
    assert all(
        clone.lessons.resolve() in file.resolve().parents for file in own.values()
    ), own


@pytest.mark.parametrize("script", SCRIPTS[::4], ids=stems(SCRIPTS[::4]))
def test_script_helps(script: Path, clone: Clone) -> None:
    """`-h` prints what the first paragraph of the docstring says, and runs nothing."""
    docstring = ast.get_docstring(parse(script.read_text(encoding="utf-8"))) or ""
    done = clone.run(script.name, "-h")
    assert (done.returncode, done.stderr) == (0, "")
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    assert paragraph in " ".join(done.stdout.split()), (
        f"{script.name} -h prints\n{done.stdout}"
    )


def test_damaged_job_file_is_one_sentence(clone: Clone) -> None:
    """Script 09 reads its jobs from a file, and says which line of it is damaged."""
    jobs = clone.elsewhere / "jobs.jsonl"
    jobs.write_text('{"id": "a", "text": "x"}\n{"id": "b"\n', encoding="utf-8")
    done = clone.run("09_many_apis.py", str(jobs))
    assert done.returncode == 2
    said = f"{jobs}: line 2 is damaged, and no job was added: "
    assert done.stderr.startswith(said) and done.stderr.count("\n") == 1


@pytest.mark.parametrize("script", SCRIPTS, ids=stems(SCRIPTS))
def test_script_calls_no_live_address(script: Path) -> None:
    """No text in the code of a script, docstrings aside, names an address outside this
    machine.
    """
    tree = parse(script.read_text(encoding="utf-8"))
    assert live_hosts("\n".join(code_texts(tree))) == []


def code_texts(tree: ast.Module) -> list[str]:
    """Return all literal texts of a program but its docstrings and other texts that
    stand alone.
    """
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and id(node) not in alone
    ]
    return [node.value for node in constants if isinstance(node.value, str)]


def test_code_texts() -> None:
    """A docstring is no text of the code, an argument is."""
    assert code_texts(
        ast.parse('"""https://a.com"""\nget("https://b.com", f"https://{x}/")')
    ) == [
        "https://b.com",
        "https://",
        "/",
    ]


def test_clone_is_isolated(clone: Clone) -> None:
    """In the copy, the helpers come from the copy, the first group can be imported, and
    matplotlib cannot.
    """
    (clone.lessons / "99_probe.py").write_text(
        "import endpoint, mock_server, httpx, requests, tqdm\nimport matplotlib"
    )
    done = clone.run("99_probe.py")
    assert "No module named 'matplotlib'" in done.stderr, done.stderr
    files = {clone.modules()[name].resolve() for name in ("endpoint", "mock_server")}
    assert files == {
        (clone.lessons / name).resolve()
        for name in ("endpoint.py", "mock_server/__init__.py")
    }
    clone_without_helpers = clone.elsewhere / "alone.py"
    clone_without_helpers.write_text("import mock_server")
    assert "No module named 'mock_server'" in clone.run(clone_without_helpers).stderr, (
        "the installed helpers are seen"
    )


@pytest.mark.parametrize(
    ("stderr", "left"),
    [
        (
            "\rcalls:   0%|          | 0/20 [00:00<?, ?it/s]\rcalls: 100%|##########| "
            "20/20 [00:00<00:00, 99.1it/s]\n",
            [],
        ),
        ("3it [00:00, 10.5it/s]\n", []),
        ("DeprecationWarning: 50% of this\n", ["DeprecationWarning: 50% of this"]),
    ],
)
def test_only_progress_bars_are_allowed(stderr: str, left: list[str]) -> None:
    """A progress bar on stderr is expected, a warning is not."""
    assert stray(stderr) == left


def test_sample_run_ends_the_docstring() -> None:
    """The sample run is the indented block under its heading, blank lines and inner
    indentation kept.
    """
    assert sample_run("Title.\n\nSample run:\n\n    a\n\n      b\n") == "a\n\n  b"
    assert sample_run("Title.") == ""


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("under 2 seconds", 2),
        ("a timeout of 5 s. It takes about\na second.", 1),
        ("(0.5 s)", 0.5),
        ("no time", 0),
    ],
)
def test_seconds(told: str, expected: float) -> None:
    """The last time named before the sample run is the time of the script."""
    assert seconds(f"Title.\n\n{told}\n\nSample run:\n\n    9 s\n") == expected
