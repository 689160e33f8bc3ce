"""The command line of python -m tests.grade."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from lessons.course.exercises import Exercise, Mistake, find_exercise, find_exercises

from .engine import Engine, Verdict, selftest
from .exports import FORMS, fill_canvas, write_exports
from .gradescope import make_zip
from .hand_ins import GRADED, HandIns, collect
from .journal import Journal, Key, Run, hash_course, merge, write_whole
from .people import read_roster
from .report import make_report, write_tables
from .summary import write_summary
from .workers import grade_here, grade_with_dask

LEVELS = ("auto", "bwrap", "user", "process")


def grade(options: argparse.Namespace) -> int:
    """Grade hand-ins, and write the report."""
    exercises = find_exercises()
    only = sorted({find_exercise(name) for name in options.only or ()}) or exercises
    roster = read_roster(options.roster) if options.roster else None
    with tempfile.TemporaryDirectory() as folder:
        found = collect(
            options.hand_ins, Path(folder), exercises, only, roster, options.student
        )
        with Engine(options.isolation, options.jobs) as engine:
            run = _describe(options, found, only, engine)
            if options.canvas:  # is it one? better now than after an hour
                fill_canvas(make_report(run, {}), options.canvas)
            with Journal(options.out, run, options.resume) as journal:
                _tell(run)
                todo = {
                    key: found.answers[key]
                    for key in run.own
                    if key not in journal.verdicts
                }
                _grade(todo, engine, journal, options)
                verdicts = journal.verdicts
    return _write(run, verdicts, options)


def _describe(
    options: argparse.Namespace, found: HandIns, only: list[Exercise], engine: Engine
) -> Run:
    return Run(
        course=hash_course(),
        hand_ins=found.digest,
        seed=options.seed,
        shard=options.shard,
        exercises=tuple(exercise.stem for exercise in only),
        level=engine.level,
        promise=engine.promise,
        students=tuple(found.students),
        answers=tuple(sorted(found.answers)),
        look=found.look,
        fates=tuple(found.fates),
    )


def _tell(run: Run) -> None:
    others = sum(fate.what != GRADED for fate in run.fates)
    number, count = run.shard
    print(
        f"{len(run.students)} students, {len(run.answers)} answers, "
        f"{others} other files (files.csv says why)"
    )
    if count > 1:
        print(f"shard {number} of {count}: {len(run.own)} answers")
    print(f"isolation {run.isolation}", flush=True)


def _grade(
    todo: dict[Key, Path],
    engine: Engine,
    journal: Journal,
    options: argparse.Namespace,
) -> None:
    """Grade what is not in the journal yet, with a bar that shows the time left."""
    if options.executor == "dask":
        graded = grade_with_dask(engine.level, todo, journal.write)
    else:
        graded = grade_here(engine, todo, journal.write, options.jobs)
    total, pause = len(journal.run.own), 0.1 if sys.stderr.isatty() else 10.0
    done = total - len(todo)
    with tqdm(total=total, initial=done, unit="answer", mininterval=pause) as bar:
        for _ in graded:
            bar.update()


def _write(run: Run, verdicts: dict[Key, Verdict], options: argparse.Namespace) -> int:
    number, count = run.shard
    if count > 1:  # the grades of a part would look like those of a bad class
        print(f"shard {number} of {count} is done; merge it with the others")
        return 0
    report = make_report(run, verdicts)
    write_tables(report, options.out)
    write_exports(report, options.out, options.also)
    if options.canvas:
        write_whole(options.out / "canvas.csv", fill_canvas(report, options.canvas))
    write_summary(report, options.out)
    look = sum(bool(row.look) for row in report.rows)
    print(f"{options.out / 'summary.html'}: {look} of {len(report.rows)} need a look")
    return 0


def merge_reports(options: argparse.Namespace) -> int:
    """Make one report of the reports of all shards."""
    run, verdicts = merge(options.reports)
    with Journal(options.out, run) as journal:
        for key, verdict in sorted(verdicts.items()):
            journal.write(key, verdict)
    return _write(run, verdicts, options)


def run_selftest(options: argparse.Namespace) -> int:
    """Say whether the isolation holds what it promises on this machine."""
    with Engine(options.isolation) as engine:
        print(f"isolation {engine.promise}", flush=True)
        complaints = selftest(engine)
    print("\n".join(complaints) or "it holds what it promises")
    return int(bool(complaints))


def make_gradescope(options: argparse.Namespace) -> int:
    """Write the zip for Gradescope."""
    make_zip(options.out, [find_exercise(name) for name in options.only or ()])
    print(f"{options.out}: upload it under Configure Autograder")
    return 0


# --- the command line ---


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"{text} is not as 2/5: i of n, from 1/n")
    return int(found[1]), int(found[2])


def _jobs(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return int(text)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the report"
    )
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        choices=FORMS,
        help="write this form too; may be repeated",
    )
    parser.add_argument(
        "--canvas",
        type=Path,
        metavar="FILE.csv",
        help="an export of Canvas' gradebook; DIR/canvas.csv has the points filled in",
    )


def _add_only(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        action="append",
        metavar="NN",
        help="only this exercise; may be repeated",
    )


def _add_isolation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--isolation",
        choices=LEVELS,
        default="auto",
        help="what stands between an answer and the machine; default: the best here",
    )


def _grade_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.grade",
        description="Grade the hand-ins of a class. Also: python -m tests.grade "
        f"{' | '.join(COMMANDS)}, each with --help.",
    )
    parser.set_defaults(command=grade)
    parser.add_argument(
        "hand_ins", type=Path, metavar="HAND_INS", help="a folder or a zip"
    )
    _add_outputs(parser)
    _add_only(parser)
    _add_isolation(parser)
    add = parser.add_argument
    add("--jobs", type=_jobs, metavar="N", help="answers at once; 4 for each processor")
    add("--resume", action="store_true", help="go on with the report in DIR")
    add("--shard", type=_shard, default=(1, 1), metavar="i/n", help="part i of n")
    add("--seed", type=int, default=0, metavar="N", help="deals answers to the shards")
    add("--roster", type=Path, metavar="FILE.csv", help="columns id, name and email")
    add("--student", default="", metavar="ID", help="all files are this student's")
    add("--executor", choices=("here", "dask"), default="here", help="where to grade")
    return parser


def _merge_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.grade merge", description=merge_reports.__doc__
    )
    parser.set_defaults(command=merge_reports)
    parser.add_argument("reports", type=Path, nargs="+", metavar="REPORT")
    _add_outputs(parser)
    return parser


def _selftest_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.grade selftest", description=run_selftest.__doc__
    )
    parser.set_defaults(command=run_selftest)
    _add_isolation(parser)
    return parser


def _gradescope_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.grade gradescope", description=make_gradescope.__doc__
    )
    parser.set_defaults(command=make_gradescope)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.zip")
    _add_only(parser)
    return parser


COMMANDS = {
    "merge": _merge_parser,
    "selftest": _selftest_parser,
    "gradescope": _gradescope_parser,
}


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for; return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    is_command = bool(words) and words[0] in COMMANDS
    make_parser = COMMANDS[words[0]] if is_command else _grade_parser
    options = make_parser().parse_args(words[1:] if is_command else words)
    try:
        return options.command(options)
    except (Mistake, OSError) as error:
        print(f"grade: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command with --resume goes on", file=sys.stderr)
        return 130
