"""`python -m lessons` lists and runs lessons, and its doctor says what to fix."""

import ast
import json
import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from lessons.course import doctor
from lessons.course.pacing import read_opening
from tests.lesson_files import NOTEBOOKS, ROOT, copy_folder, run

NO_PROXY = dict.fromkeys(
    (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    )
)
INSTALL = "python -m pip install -r requirements.txt"


FIRST = '"""Say 你好.\n\nIt takes a second.\n"""\nprint("你好")\n'


def notebook(text: str) -> str:
    """Return a notebook that begins with this text."""
    return json.dumps({"cells": [{"cell_type": "markdown", "source": [text]}]})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the course with three made-up lessons.

    01 works, 02 fails, and 03 has no script.
    """
    root = tmp_path / "tree"
    (root / "notebooks").mkdir(parents=True)
    copy_folder("lessons", root, "[0-9]*")
    shutil.copy(ROOT / "requirements.txt", root)
    scripts = {"01_first": FIRST, "02_second": "raise SystemExit(3)"}
    for stem, code in scripts.items():
        (root / "lessons" / f"{stem}.py").write_text(code, encoding="utf-8")
    for stem, text in {
        "01_first": "# 01 Say 你好\n\n- **You need:** about 40 minutes.",
        "02_second": f"# 02 {'A long title ' * 9}",
        "03_third": "No title.",
    }.items():
        path = root / "notebooks" / f"{stem}.ipynb"
        path.write_text(notebook(text), encoding="utf-8")
    return root


def lessons(
    *arguments: str, cwd: Path = ROOT, **changes: str | None
) -> subprocess.CompletedProcess:
    """Run `python -m lessons` with the arguments."""
    return run("-m", "lessons", *arguments, cwd=cwd, **changes)


def test_list(tree: Path) -> None:
    """Every lesson has a line: its number, title and minutes; a long title is cut."""
    (tree / "notebooks" / "04_broken.ipynb").write_text("{")
    done = lessons(cwd=tree)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert re.fullmatch("01   Say 你好 +40", lines[1]), done.stdout
    assert re.fullmatch("02   (A long title )+.*…", lines[2]), done.stdout
    assert lines[3:5] == ["03   third", "04   (04_broken.ipynb cannot be read)"]
    assert max(map(len, lines)) <= 80
    assert "Read:     jupyter lab, then open notebooks/01_first.ipynb" in lines
    assert "Run:      python -m lessons run 01" in lines


def test_list_has_all_lessons() -> None:
    """The list fits a terminal of 24 lines, and has a line for each notebook."""
    lines = lessons().stdout.splitlines()
    assert len(lines) < 24 and max(map(len, lines)) <= 80, "\n".join(lines)
    rows = [line for line in lines if re.match(r"\d\d ", line)]
    for row, path in zip(rows, NOTEBOOKS, strict=True):
        title, minutes = read_opening(path)
        pattern = rf"{path.stem[:2]} [ ✓] {re.escape(title)} +{minutes} .*"
        assert re.fullmatch(pattern, row), f"{row!r} is not what {path.name} says"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_one_title_and_one_number_of_minutes(path: Path) -> None:
    """README's table and the script say the title and the minutes of the notebook."""
    title, minutes = read_opening(path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"(?m)^\| {path.stem[:2]} (.*?) \|.*\| (\d+) \|$", readme)
    assert row, f"README's table has no row for {path.stem}"
    assert row.groups() == (title, str(minutes)), f"README's row for {path.stem}"
    script = ROOT / "lessons" / f"{path.stem}.py"
    docstring = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
    assert docstring.splitlines()[0] == f"{title}.", f"first line of {script.name}"


@pytest.mark.parametrize("name", ["01", "1", "01_first", "lessons/01_first.py"])
def test_run_one(tree: Path, name: str) -> None:
    """A lesson is run by its number or its name; its output is passed on."""
    done = lessons("run", name, cwd=tree)
    assert (done.returncode, done.stdout, done.stderr) == (0, "你好\n", "")


def test_run_goes_on_after_a_failure_and_names_it(tree: Path) -> None:
    """If a script fails, the others run all the same, and the end says which failed."""
    done = lessons("run", "02", "01", cwd=tree)
    assert done.returncode == 1
    assert done.stdout == "--- 02_second\n--- 01_first\n你好\n"
    assert done.stderr == "lessons: failed: 02_second (exit status 3)\n"


def test_run_all(tree: Path) -> None:
    """Without a number, all lessons run, each under its name."""
    (tree / "lessons" / "02_second.py").write_text("print('second')")
    (tree / "notebooks" / "03_third.ipynb").unlink()
    done = lessons("run", cwd=tree)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "--- 01_first\n你好\n--- 02_second\nsecond\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "42"], "lessons: there is no lesson 42; the lessons are 01, 02, 03\n"),
        (
            ["run", "01", "x"],
            "lessons: there is no lesson x; the lessons are 01, 02, 03\n",
        ),
        (["run", "03"], "lessons: lesson 03_third has no script, only a notebook\n"),
    ],
)
def test_wrong_number(tree: Path, arguments: list[str], sentence: str) -> None:
    """A lesson that is not there gets one line, and nothing is run."""
    done = lessons(*arguments, cwd=tree)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)


def test_without_any_package(tree: Path) -> None:
    """On a bare Python, each command works or says what is missing."""
    venv.create(tree / "bare", with_pip=False, symlinks=os.name != "nt")
    python = next(
        path
        for folder in ("bin", "Scripts")
        for path in (tree / "bare" / folder).glob("python*")
    )
    bare = {"python": python, "cwd": tree, "PYTHONPATH": None, **NO_PROXY}
    assert "01   Say 你好" in run("-m", "lessons", **bare).stdout
    done = run("-m", "lessons", "run", "01", **bare)
    names = "requests, httpx, python-dotenv, aiohttp, tqdm"
    # There is no pip in it, as in an environment of uv.
    remedy = "uv pip install" if shutil.which("uv") else "python -m ensurepip && "
    told = f"lessons: {names} not installed; run:\n{remedy}"
    assert done.returncode == 2 and done.stderr.startswith(told), done.stderr
    done = run("-m", "lessons", "doctor", **bare)
    assert (done.returncode, done.stderr) == (1, "")
    said = verdicts(done.stdout)
    assert [
        said[what]
        for what in ("packages missing", "shared helpers", "Jupyter", "mock server")
    ] == ["fix"] * 4, done.stdout
    assert said["proxy"] == said["port"] == "ok", done.stdout


def test_run_needs_the_first_group_only(tree: Path) -> None:
    """A script runs without the later groups of packages, which the doctor names."""
    with (tree / "requirements.txt").open("a") as file:
        file.write("\n# One more group.\nno-such-package-on-this-machine==1.0\n")
    assert lessons("run", "01", cwd=tree).returncode == 0
    done = lessons("doctor", cwd=tree)
    assert done.returncode == 1
    assert (
        "[fix] packages missing: no-such-package-on-this-machine\n      -> " + INSTALL
        in done.stdout
    )


@pytest.mark.parametrize("arguments", [[], ["run", "01"]])
def test_output_on_a_console_of_few_letters(tree: Path, arguments: list[str]) -> None:
    """A console that knows ASCII only makes neither the list nor a lesson fail."""
    changes = {
        "PYTHONIOENCODING": None,
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "LC_ALL": "C",
    }
    done = lessons(*arguments, cwd=tree, **changes)
    assert (done.returncode, done.stderr) == (0, "")
    assert "你好" in done.stdout


def test_unknown_command() -> None:
    """An unknown command is refused without a traceback."""
    done = lessons("dance")
    assert done.returncode == 2
    assert "invalid choice: 'dance'" in done.stderr
    assert "Traceback" not in done.stderr


def verdicts(output: str) -> dict[str, str]:
    """Return what the doctor said: ok or fix for each subject."""
    return {
        subject: verdict
        for verdict, subject in re.findall(
            r"(?m)^\[(ok|fix)\] +([A-Za-z ]+?)(?: [\d.]+|:|,|$)", output
        )
    }


def test_doctor_is_content_here() -> None:
    """Where the README's command was run, everything is well.

    Versions may differ, since a weekly run tries the newest.
    """
    done = lessons("doctor", **NO_PROXY)
    said = verdicts(done.stdout)
    versions = said.pop("packages", None) or said.pop("packages in another version")
    subjects = [
        "Python",
        "shared helpers",
        "Jupyter kernel",
        "proxy",
        "port",
        "mock server",
        "endpoint",
    ]
    assert said == dict.fromkeys(subjects, "ok"), done.stdout
    assert done.returncode == (versions == "fix")
    assert "Talking to: the mock server" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert str(ROOT) not in done.stdout, "a bug report must not name folders"


def test_doctor_tells_the_host_and_no_secret(tree: Path) -> None:
    """The doctor names the address of a real API, and shows no key or password."""
    real = {
        "PYTEST_VERSION": None,
        "OPENAI_BASE_URL": "https://api.example.invalid/v1",
        "OPENAI_API_KEY": "a-secret-key",
        "OPENAI_MODEL": "model-7",
    }
    proxy = {
        **NO_PROXY,
        "HTTPS_PROXY": "http://ada:a-secret-word@proxy.invalid:8080",
        "NO_PROXY": "localhost,127.0.0.1",
    }
    done = lessons("doctor", cwd=tree, **real, **proxy)
    assert "api.example.invalid" in done.stdout, done.stdout
    assert verdicts(done.stdout)["proxy"] == "ok", done.stdout
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"HTTP_PROXY": "http://127.0.0.1:9"},
            "[fix] proxy: set for http, and asked even for this machine",
        ),
        (
            {"ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost"},
            "[fix] proxy: a SOCKS proxy is set",
        ),
        (
            {
                "OPENAI_BASE_URL": "https://api.example.invalid/v1",
                "OPENAI_API_KEY": "a-key",
                "OPENAI_MODEL": "model-7",
                "PYTEST_VERSION": None,
                "ALL_PROXY": "socks5://127.0.0.1:9",
            },
            "-> A SOCKS proxy is set, and the packages for it are not installed",
        ),
        (
            {"OPENAI_BASE_URL": "nonsense", "PYTEST_VERSION": None},
            "[fix] endpoint: the settings for a real API",
        ),
    ],
)
def test_doctor_finds_fault_with_the_environment(
    changes: dict[str, str | None], words: str
) -> None:
    """Proxies that break the lessons, and wrong settings, get a [fix] each."""
    done = lessons("doctor", **{**NO_PROXY, "NO_PROXY": None, **changes})
    assert done.returncode == 1
    assert words in done.stdout
    assert done.stderr == ""


def findings(check: object) -> list[str]:
    """Return the texts of a check's findings, those to fix with a star."""
    return [("*" if finding.remedy else "") + finding.text for finding in check()]


def test_doctor_refuses_other_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python older or newer than the tested ones is to be replaced."""
    for oldest, newest in (((3, 98), (3, 99)), ((3, 1), (3, 2))):
        monkeypatch.setattr(doctor, "OLDEST", oldest)
        monkeypatch.setattr(doctor, "NEWEST", newest)
        assert findings(doctor.check_python)[0].startswith("*Python 3.")


def test_doctor_compares_versions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A package in another version than the pinned one is named with both."""
    monkeypatch.setattr(doctor, "REQUIREMENTS", tmp_path / "requirements.txt")
    doctor.REQUIREMENTS.write_text(
        "# A group.\nrequests==0.0.1   # old\nhttpx>=0.1\n\n# Another.\n-e .\n"
    )
    assert doctor.read_requirements() == {"requests": "0.0.1", "httpx": ""}
    assert doctor.read_requirements(group=1) == {}
    (text,) = findings(doctor.check_packages)
    assert re.fullmatch(
        r"\*packages in another version: requests [\d.]+ \(wanted 0\.0\.1\)", text
    )


def test_doctor_finds_helpers_of_another_copy(tree: Path) -> None:
    """If the helpers were installed from another clone, the doctor says so."""
    assert verdicts(lessons("doctor", cwd=tree).stdout)["shared helpers"] == "fix"


def test_doctor_looks_into_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of another Python, or none, is to be mended."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

    assert findings(doctor.check_kernel) == ["Jupyter kernel: python3 runs this Python"]
    other = KernelSpec(argv=["/elsewhere/python"])
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda *_: other)
    assert findings(doctor.check_kernel) == [
        "*Jupyter kernel: python3 runs another Python than this one"
    ]

    def no_kernel(*_: object) -> None:
        raise NoSuchKernel("python3")

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", no_kernel)
    assert findings(doctor.check_kernel) == ["*Jupyter kernel: python3 is not there"]


def test_doctor_needs_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no port can be opened, that is said, and the server is not tried."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(doctor.socket, "create_server", refuse)
    assert findings(doctor.check_server) == [
        "*port: none can be opened on 127.0.0.1 (Operation not permitted)"
    ]


@pytest.mark.parametrize(
    ("machine", "command"),
    [
        ("venv pip", "python -m pip install -r requirements.txt"),
        ("venv uv", "uv pip install -r requirements.txt"),
        ("venv", "python -m ensurepip && python -m pip install -r requirements.txt"),
        ("pip python", "python -m pip install -r requirements.txt"),
        ("pip", "python3 -m pip install -r requirements.txt"),
        (
            "pip ensurepip managed",
            "python3 -m venv .venv && . .venv/bin/activate && "
            "python -m pip install -r requirements.txt",
        ),
        (
            "managed",
            "sudo apt install python3-venv && python3 -m venv .venv && "
            ". .venv/bin/activate && python -m pip install -r requirements.txt",
        ),
    ],
)
def test_remedy_works_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: str, command: str
) -> None:
    """Debian's Python may install nothing, and uv's environments have no pip."""
    has = machine.split()
    if "managed" in has:
        (tmp_path / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr(doctor.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(doctor.sys, "prefix", "venv" if "venv" in has else "base")
    monkeypatch.setattr(doctor.sys, "base_prefix", "base")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: name in has)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: name in has)
    assert doctor.install_command() == command


def test_doctor_names_settings_that_nothing_reads(tree: Path) -> None:
    """A `.env` under another name, or in another folder, is named."""
    names = [".env.txt", "env", "notebooks/.env"]
    for name in names:
        (tree / name).write_text("OPENAI_MODEL=model-7\n")
    (tree / "lessons" / "env").mkdir()  # a folder is no file of settings
    told = lessons("doctor", cwd=tree, **NO_PROXY).stdout
    assert told.count("[fix] settings: ") == len(names), told
    for name in names:
        assert f"[fix] settings: {name} is there, and nothing reads it" in told


@pytest.mark.parametrize(
    "path",
    [ROOT / "lessons" / "__main__.py", *(ROOT / "lessons" / "course").glob("*.py")],
    ids=lambda path: path.name,
)
def test_older_pythons_can_read_it(path: Path) -> None:
    """Somebody with Python 3.8 is told so by the doctor, not by a SyntaxError."""
    text = path.read_text(encoding="utf-8")
    ast.parse(text, feature_version=(3, 8))
    assert "|" not in text or "from __future__ import annotations" in text, (
        "without it, `str | None` fails before Python 3.10"
    )
