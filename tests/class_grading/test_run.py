"""A run is graded once, whatever interrupts it, and in one part or in many."""

import csv
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest

from lessons.course.exercises import ROOT
from tests.grade import journal

from .conftest import Command
from .fake import FakeEngine

# Begins a run with the fake engine in a process that can be killed.
SLOWLY = """
import sys
from tests.class_grading.fake import FakeEngine
from tests.grade import command
FakeEngine.pause = 0.1
command.Engine = FakeEngine
sys.exit(command.main(sys.argv[1:]))
"""


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def totals(folder: Path) -> dict[str, int]:
    """Return the sum of each student in a report."""
    with (folder / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {row["student"]: int(row["total"]) for row in csv.DictReader(file)}


def test_grades_and_progress(
    grade: Command, hand_ins: Path, tmp_path: Path, capsys
) -> None:
    """Everybody gets a row; the program says what it found, how it is isolated, and how
    far it is.
    """
    assert grade(hand_ins, "--out", tmp_path / "report") == 0
    expected = {"'=emre": 0, "77": 0, "ada": 35, "bo": 10, "chen": 10}
    assert totals(tmp_path / "report") == expected
    printed = capsys.readouterr()
    assert "5 students, 7 answers, 2 other files" in printed.out
    assert f"isolation {FakeEngine.promise}" in printed.out
    assert "summary.html: 3 of 5 need a look" in printed.out
    assert "100%" in printed.err and "7/7" in printed.err


def test_a_second_run_is_equal(grade: Command, made: Path, tmp_path: Path) -> None:
    """Another run, and one in shards with another seed, write the same to the byte."""
    grade(made / "hand-ins", "--out", tmp_path / "again", "--jobs", 1)
    shards = [made / f"shard{number}" for number in (1, 2, 3)]
    assert not any((shard / "grades.csv").exists() for shard in shards)
    assert grade("merge", *shards, "--out", tmp_path / "merged") == 0
    first = contents(made / "report")
    for other in ("again", "merged"):
        texts = contents(tmp_path / other)
        assert texts.keys() == first.keys()
        different = {name for name in texts if texts[name] != first[name]}
        assert different <= {"journal.jsonl", "run.json"}, other


def test_only(grade: Command, hand_ins: Path, tmp_path: Path) -> None:
    """One exercise has one column, and nobody's other answers are graded."""
    assert grade(hand_ins, "--out", tmp_path / "r", "--only", "1") == 0
    assert {exercise for exercise, _ in FakeEngine.graded} == {"01_basic_get"}
    head, *rows = (tmp_path / "r" / "grades.csv").read_text("utf-8").splitlines()
    assert head == "student,name,email,01,total,of,look"
    assert rows[2].startswith("ada,,,20,20,20,")
    files = (tmp_path / "r" / "files.csv").read_text("utf-8")
    assert files.count("of an exercise that is not graded now") == 4


def test_resume_after_a_kill(grade: Command, hand_ins: Path, tmp_path: Path) -> None:
    """After kill -9, --resume grades what is not in the journal: nobody twice, and
    nobody is lost, even if the last line was cut off.
    """
    out = tmp_path / "report"
    command = [sys.executable, "-c", SLOWLY, hand_ins, "--out", out, "--jobs", "1"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    lines, end = 0, time.monotonic() + 60
    while lines < 2 and time.monotonic() < end:
        time.sleep(0.01)
        path = out / "journal.jsonl"
        lines = path.read_bytes().count(b"\n") if path.exists() else 0
    process.kill()
    assert process.wait() != 0, "it was over before it was killed"
    whole = (out / "journal.jsonl").read_bytes()
    kept = whole.count(b"\n")
    assert 2 <= kept < 7
    (out / "journal.jsonl").write_bytes(whole + b'{"student": "ad')
    assert grade(hand_ins, "--out", out, "--resume") == 0
    assert len(FakeEngine.graded) == 7 - kept
    written = (out / "journal.jsonl").read_text("ascii").splitlines()
    keys = Counter(
        (json.loads(one)["student"], json.loads(one)["exercise"]) for one in written
    )
    assert len(keys) == 7 and set(keys.values()) == {1}
    assert totals(out)["ada"] == 35
    assert grade(hand_ins, "--out", out, "--resume") == 0
    assert len(FakeEngine.graded) == 7 - kept, "a finished run was graded again"


def test_a_kill_before_anything_is_known(
    grade: Command, hand_ins: Path, tmp_path: Path
) -> None:
    """What a run leaves that was killed at its very beginning is no other report."""
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "run.json.new").write_text("{")
    assert grade(hand_ins, "--out", tmp_path / "r", "--resume") == 0
    assert totals(tmp_path / "r")["ada"] == 35


@pytest.mark.parametrize(
    ("change", "words", "complaint"),
    [
        ("", [], "has a report already"),
        ("", ["--resume", "--seed", "1"], "another run: --seed changed"),
        ("", ["--resume", "--only", "01"], "another run: --only changed"),
        ("", ["--resume", "--shard", "1/2"], "another run: --shard changed"),
        ("hand-ins", ["--resume"], "another run: the hand-ins changed"),
        ("course", ["--resume"], "another run: the course changed"),
        ("run.json", ["--resume"], "run.json cannot be read"),
        ("journal.jsonl", ["--resume"], "line 1 was changed by hand"),
        ("file", [], "in use for something else"),
    ],
)
def test_another_report_is_kept(
    grade: Command,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys,
    change: str,
    words: list[str],
    complaint: str,
) -> None:
    """A report of another run is not overwritten: one sentence, and exit status 2."""
    hand_ins, out = tmp_path / "hand-ins", tmp_path / "report"
    shutil.copytree(made / "hand-ins", hand_ins)
    if change == "file":
        out.mkdir()
        (out / "thesis.txt").write_text("Mine.\n")
    else:
        shutil.copytree(made / "report", out)
    if change == "hand-ins":
        (hand_ins / "ada" / "01_basic_get.py").write_text("points = 0\n")
    elif change == "course":
        monkeypatch.setattr("tests.grade.command.hash_course", lambda: "another")
    elif change.startswith(("run", "journal")):
        (out / change).write_text("{}\n")
    before = contents(out)
    capsys.readouterr()
    assert grade(hand_ins, "--out", out, *words) == 2
    error = capsys.readouterr().err
    assert complaint in error and len(error.splitlines()) == 1, error
    assert contents(out) == before, "something was overwritten"


@pytest.mark.parametrize(
    ("shards", "change", "complaint"),
    [
        ([1, 3], "", "shard 2 of 3 is missing; nothing was merged"),
        ([1], "", "shard 2, 3 of 3 is missing"),
        ([1, 2, 3, 3], "", "shard 3 of 3 is there more than once"),
        ([1, 2, 3], "course", "another version of the course"),
        ([1, 2, 3], "seed", "another --seed"),
        ([1, 2, 3], "hand_ins", "other hand-ins"),
        ([1, 2, 3], "journal", "is not finished, 1 answers are left"),
        ([1, 2, 3], "shard", "one of 4 shards, not of 3"),
    ],
)
def test_shards_that_do_not_belong_together(
    grade: Command,
    made: Path,
    tmp_path: Path,
    capsys,
    shards: list[int],
    change: str,
    complaint: str,
) -> None:
    """A merge refuses them in a sentence, and writes nothing."""
    folders = [tmp_path / f"shard{place}" for place in range(len(shards))]
    for folder, number in zip(folders, shards, strict=True):
        shutil.copytree(made / f"shard{number}", folder)
    if change == "journal":
        path = folders[-1] / "journal.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    elif change:
        run = json.loads((folders[-1] / "run.json").read_text("utf-8"))
        run[change] = {"seed": 9, "shard": [3, 4]}.get(change, "another")
        (folders[-1] / "run.json").write_text(json.dumps(run))
    capsys.readouterr()
    assert grade("merge", *folders, "--out", tmp_path / "merged") == 2
    error = capsys.readouterr().err
    assert complaint in error and len(error.splitlines()) == 1, error
    assert not (tmp_path / "merged").exists()


def test_deal() -> None:
    """Every answer is in one shard, and a seed deals them out in its own way."""
    answers = [(f"s{number}", "05_error_classes") for number in range(50)]
    for count in (1, 3, 60):
        shards = [journal.deal(answers, 1, (one + 1, count)) for one in range(count)]
        assert sorted(chain(*shards)) == sorted(answers)
    assert journal.deal(answers, 1, (1, 2)) != journal.deal(answers, 2, (1, 2))
    assert journal.deal(answers[::-1], 1, (1, 2)) == journal.deal(answers, 1, (1, 2))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nowhere", "--out", "r"], "neither a folder nor a zip"),
        (["@", "--out", "r", "--only", "77"], "there is no exercise 77"),
        (["@", "--out", "r", "--roster", "none.csv"], "none.csv cannot be read"),
        (["@", "--out", "r", "--isolation", "bwrap"], "bwrap is not possible here"),
        (["@", "--out", "r", "--canvas", "none.csv"], "none.csv cannot be read"),
        (["merge", "nowhere", "--out", "r"], "nowhere is no report"),
    ],
)
def test_wrong_words(
    grade: Command,
    hand_ins: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys,
    words: list[str],
    complaint: str,
) -> None:
    """What cannot be done is one sentence, exit status 2, and no report."""
    monkeypatch.chdir(tmp_path)
    assert grade(*(hand_ins if word == "@" else word for word in words)) == 2
    error = capsys.readouterr().err
    assert complaint in error and len(error.splitlines()) == 1, error
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b"])
def test_shards_that_cannot_be(grade: Command, shard: str, capsys) -> None:
    """A shard is i of n."""
    with pytest.raises(SystemExit) as caught:
        grade("x", "--out", "y", "--shard", shard)
    assert caught.value.code == 2 and "is not as 2/5" in capsys.readouterr().err


def test_selftest(grade: Command, monkeypatch, capsys) -> None:
    """It prints the level, and fails with what does not hold."""
    monkeypatch.setattr("tests.grade.command.selftest", lambda engine: ["a hole"])
    assert grade("selftest") == 1
    assert "a hole" in capsys.readouterr().out
    monkeypatch.setattr("tests.grade.command.selftest", lambda engine: [])
    assert grade("selftest") == 0
    assert "isolation process" in capsys.readouterr().out
