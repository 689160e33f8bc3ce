"""Print how good the graders of the exercises are, for the README."""

import argparse
import functools
import os
import subprocess
import sys
import time
import tomllib
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from .grader import (
    FOLDER,
    ROOT,
    Case,
    ChangeError,
    Pool,
    complaints,
    exercises,
    find_blind,
    find_cases,
    grade_all,
)
from .mutants import mutants
from .sandboxed import SandboxPool

KINDS = ("reference", "stub", "right", "wrong")


def judge_sets(pool: Pool, only: list[str]) -> bool:
    """Grade references, stubs, right and wrong answers; print the figures; say whether
    all is as it should be.
    """
    cases = find_cases(only)
    count: Counter[tuple[str, str]] = Counter()
    good: Counter[tuple[str, str]] = Counter()
    wrong = []
    for case, grade in tqdm(
        grade_all(pool, cases),
        total=len(cases),
        unit="answer",
        leave=False,
        disable=None,
    ):
        count[case.exercise, case.kind] += 1
        if found := complaints(case, grade):
            wrong.append(f"{case}: {'; '.join(found)}")
        else:
            good[case.exercise, case.kind] += 1
    print(f"{'':24}" + "".join(f"{kind:>12}" for kind in KINDS))
    names = [name for name in exercises() if any(count[name, kind] for kind in KINDS)]
    for name in names:
        print(
            f"{name:24}"
            + "".join(
                f"{f'{good[name, kind]} of {count[name, kind]}':>12}" for kind in KINDS
            )
        )
    sums = [
        (
            sum(good[name, kind] for name in names),
            sum(count[name, kind] for name in names),
        )
        for kind in KINDS
    ]
    phrases = (
        "references accepted",
        "stubs rejected",
        "right answers accepted",
        "wrong answers rejected as intended",
    )
    print()
    for phrase, (some, all_of_them) in zip(phrases, sums, strict=True):
        print(f"{phrase}: {some} of {all_of_them}")
    print("\n".join(["", *wrong]) if wrong else "", flush=True)
    return not wrong


def judge_mutants(pool: Pool, only: list[str]) -> bool:
    """Grade the mutants of the references; print how many are rejected, and the others
    with the reason.
    """
    reasons = tomllib.loads((FOLDER / "survivors.toml").read_text(encoding="utf-8"))
    killed, total, unexplained = 0, 0, 0
    for exercise in exercises():
        if only and not exercise.startswith(tuple(only)):
            continue
        stub = ROOT / "lessons" / "exercises" / f"{exercise}.py"
        made = mutants(ROOT / "solutions" / f"{exercise}.py", stub)
        cases = [
            Case("mutant", exercise, mutant.code, f"mutant{number}")
            for number, mutant in enumerate(made)
        ]
        survivors = []
        graded = tqdm(
            grade_all(pool, cases, stop_early=True),
            total=len(cases),
            desc=exercise,
            leave=False,
            disable=None,
        )
        for mutant, (_, grade) in zip(made, graded, strict=True):
            if grade.is_right:
                survivors.append(mutant.name)
        known = reasons.get(exercise, {})
        total, killed = total + len(made), killed + len(made) - len(survivors)
        share = (len(made) - len(survivors)) / max(len(made), 1)
        print(
            f"{exercise:24}{len(made) - len(survivors):5} of {len(made):4} "
            f"mutants killed ({share:.0%})"
        )
        for name in survivors:
            unexplained += name not in known
            print(
                f"    {name}\n        "
                f"{known.get(name, 'NO REASON GIVEN in survivors.toml')}"
            )
        for name in known:
            if name not in survivors:
                print(
                    f"    in survivors.toml, but killed or no mutant any more: {name}"
                )
        sys.stdout.flush()
    print(
        f"\nmutants killed: {killed} of {total} ({killed / max(total, 1):.1%}); "
        f"without a reason: {unexplained}\n"
    )
    return not unexplained


def judge_blind(pool: Pool, only: list[str], folder: Path) -> bool:
    """Grade a round of answers that somebody wrote blind; print how many were judged
    right, and which were not.
    """
    cases = find_blind(folder, only)
    rejected, accepted, surprises = [], [], []
    for case, grade in grade_all(pool, cases):
        (rejected if case.kind == "blind wrong" else accepted).append(
            (case.kind == "blind right") == grade.is_right
        )
        if case.kind == "blind wrong" and grade.is_right:
            surprises.append(f"{case}: accepted")
        elif case.kind == "blind right" and not grade.is_right:
            surprises.append(f"{case}: {grade.points} points\n{grade.explain()}")
    print("\n\n".join(surprises))
    print(f"\nwrong answers rejected: {sum(rejected)} of {len(rejected)}")
    print(f"right answers accepted: {sum(accepted)} of {len(accepted)}", flush=True)
    return all(rejected) and all(accepted)


def judge_repeats(pool: Pool, only: list[str], times: int) -> bool:
    """Grade the references many times, on a machine that is busy besides; print how
    often one was not accepted.
    """
    cases = [case for case in find_cases(only) if case.kind == "reference"] * times
    flakes = []
    with ExitStack() as stack:
        for _ in range(os.cpu_count() or 2):
            busy = stack.enter_context(
                subprocess.Popen([sys.executable, "-c", "while True: pass"])
            )
            stack.callback(busy.kill)
        for case, grade in tqdm(
            grade_all(pool, cases),
            total=len(cases),
            unit="answer",
            leave=False,
            disable=None,
        ):
            if not grade.is_right:
                flakes.append(f"{case}: {grade.explain()}")
    runs = f"{times} runs of each reference, on processors kept busy"
    print("\n\n".join([f"flakes: {len(flakes)} in {runs}", *flakes]), flush=True)
    return not flakes


def number(text: str) -> str:
    """Return the text if the name of an exercise begins with it."""
    if not text or not any(name.startswith(text) for name in exercises()):
        raise argparse.ArgumentTypeError(
            f"there is no exercise {text!r}; there are {', '.join(exercises())}"
        )
    return text


def number_and_name(text: str) -> tuple[str, str]:
    """Split 05/no_from, or 05, which has no name."""
    first, _, name = text.partition("/")
    return number(first), name


def show(only: str, name: str) -> int:
    """Print a wrong answer whole, or, without a name, what is wrong with each."""
    answers = [case.wrong for case in find_cases([only]) if case.wrong]
    chosen = [answer for answer in answers if answer.name == name]
    if name and not chosen:
        print(
            f"There is no wrong answer {only}/{name}; --show {only} lists them.",
            file=sys.stderr,
        )
        return 2
    for answer in chosen:
        print(answer.code, end="")
    if not name:
        for answer in answers:
            print(f"{answer.name}\n    {answer.misconception}")
    return 0


def main() -> int:
    """Do what the command line asks for.

    Returns 1 if an answer is not graded as it should be, and 2 if the command line, or
    a wrong answer, is not written as it should be.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.quality", description=__doc__
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        type=number,
        metavar="NN",
        help="only this exercise; may be repeated",
    )
    parser.add_argument(
        "--show",
        type=number_and_name,
        metavar="NN[/NAME]",
        help="print a wrong answer whole, as 05/no_from, or list those of an exercise",
    )
    parser.add_argument(
        "--mutants",
        action="store_true",
        help="grade the mutants of the references (many minutes)",
    )
    parser.add_argument(
        "--repeat",
        type=int,
        metavar="N",
        help="grade each reference N times under load, as 200",
    )
    parser.add_argument(
        "--blind",
        type=Path,
        metavar="FOLDER",
        help="grade a blind round: FOLDER/NN/wrong/*.py and FOLDER/NN/right/*.py",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        help="processes at once; default: four for each processor",
    )
    parser.add_argument(
        "--isolation",
        metavar="LEVEL",
        help="grade in the sandboxes of a class: auto, bwrap, user or process",
    )
    options = parser.parse_args()
    try:
        return show(*options.show) if options.show else judge(options)
    except ChangeError as error:
        print(error, file=sys.stderr)
        return 2


def judge(options: argparse.Namespace) -> int:
    """Grade what the options name; return 1 if something is not as it should be."""
    start = time.monotonic()
    pool_of_jobs = Pool
    if options.isolation:
        pool_of_jobs = functools.partial(SandboxPool, options.isolation)
    with pool_of_jobs(options.jobs) as pool:
        is_good = True
        if options.mutants:
            is_good = judge_mutants(pool, options.only)
        if options.repeat:
            is_good = judge_repeats(pool, options.only, options.repeat) and is_good
        if options.blind:
            is_good = judge_blind(pool, options.only, options.blind) and is_good
        if not (options.mutants or options.repeat or options.blind):
            is_good = judge_sets(pool, options.only)
    print(f"{time.monotonic() - start:.0f} s")
    return int(not is_good)


if __name__ == "__main__":
    sys.exit(main())
