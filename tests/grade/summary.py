"""summary.html: one page about the class, which needs nothing but itself."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path
from string import Template

from lessons.course.exercises import find_exercise
from lessons.course.results import GENERAL
from tests.quality.grader import find_cases

from .hand_ins import GRADED
from .journal import write_whole
from .report import OF, Report, Row

BARS = 10  # of the histogram
MOST_FAILED = 12  # tests
_SAYS_NOTHING = {*GENERAL, "tampering"}  # kinds that are not about the single test
_PAGE = Path(__file__).with_name("summary.html")


def write_summary(report: Report, folder: Path) -> None:
    """Write summary.html."""
    write_whole(folder / "summary.html", summary(report))


def summary(report: Report) -> str:
    """Return the page."""
    run, rows = report.run, report.rows
    graded = sum(len(row.verdicts) for row in rows)
    left_over = [fate for fate in run.fates if fate.what != GRADED]
    look = [row for row in rows if row.look]
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        title=escape(f"{len(rows)} students, {graded} answers"),
        facts=_facts(report),
        isolation=escape(run.isolation),
        histogram=_histogram(report),
        exercises=_rows(_exercise_cells(report)),
        failed=_rows(_failed_cells(report)) or _nothing(4, "No test failed."),
        look_count=len(look),
        look=_rows(_look_cells(look)) or _nothing(4, "Nobody."),
        heads="".join(
            f'<th class="number">{exercise[:2]}</th>' for exercise in run.exercises
        ),
        students=_rows(_student_cells(report)),
        file_count=len(left_over),
        files=_rows([map(_text, (fate[0], fate[1], fate[3])) for fate in left_over])
        or _nothing(3, "Every file was graded."),
        version=escape(f"course {run.course[:12]}, hand-ins {run.hand_ins[:12]}"),
    )


def _facts(report: Report) -> str:
    totals = sorted(row.total for row in report.rows)
    middle = totals[len(totals) // 2] if totals else 0
    none = sum(not row.verdicts for row in report.rows)
    facts = {
        "students": len(totals),
        "without an answer": none,
        "median": f"{middle} of {report.of}",
        "mean": f"{sum(totals) / max(len(totals), 1):.1f}",
        "full points": totals.count(report.of),
    }
    return "".join(
        f"<div><b>{escape(str(value))}</b>{escape(name)}</div>"
        for name, value in facts.items()
    )


def _histogram(report: Report) -> str:
    """Draw how many students have less than 10 % of the points, 20 %, and so on."""
    counts = Counter(
        min(row.total * BARS // max(report.of, 1), BARS - 1) for row in report.rows
    )
    highest = max(counts.values(), default=1)
    drawn = []
    for bar in range(BARS):
        height = 110 * counts[bar] / highest
        x, y = 8 + bar * 60, 130 - height
        low, high = (-(-part * report.of // BARS) for part in (bar, bar + 1))
        high -= bar < BARS - 1
        drawn += [
            f'<rect x="{x}" y="{y:.1f}" width="52" height="{height:.1f}"/>',
            f'<text x="{x + 26}" y="{y - 5:.1f}">{counts[bar] or ""}</text>',
            f'<text class="axis" x="{x + 26}" y="148">{low}&ndash;{high}</text>',
        ]
    label = f"Students by total points, of {report.of}"
    return (
        f'<svg viewBox="0 0 616 154" role="img" aria-label="{label}">'
        f"{''.join(drawn)}</svg>"
    )


def _exercise_cells(report: Report) -> Iterable[list[str]]:
    for exercise in report.run.exercises:
        points = [
            row.points(exercise) for row in report.rows if exercise in row.verdicts
        ]
        mean = sum(points) / max(len(points), 1)
        full = points.count(OF)
        bar = f'<meter max="{OF}" value="{mean:.1f}"></meter> {mean:.1f}'
        yield [
            _text(exercise),
            _number(len(points)),
            _cell(bar, mean),
            _number(full),
            _number(points.count(0)),
        ]


def _failed_cells(report: Report) -> Iterable[list[str]]:
    failed: Counter[tuple[str, str]] = Counter()
    ran: Counter[tuple[str, str]] = Counter()
    for row in report.rows:
        for exercise, verdict in row.verdicts.items():
            for result in verdict.results:
                if result.kind not in _SAYS_NOTHING:
                    ran[exercise, result.title] += 1
                    failed[exercise, result.title] += not result.passed
    for (exercise, title), number in (+failed).most_common(MOST_FAILED):
        share = f"{number} of {ran[exercise, title]}"
        thought = misconceptions(exercise).get(title, "")
        yield [
            f'<td class="exercise">{exercise[:2]}</td>',
            _text(title),
            _cell(share, number),
            _text(thought),
        ]


@cache
def misconceptions(exercise: str) -> dict[str, str]:
    """Return what somebody may think who fails a test, by the title of the test.

    These are the sentences of tests/quality/wrong; of several, that of the wrong answer
    which fewest other tests reject.
    """
    sentences: dict[str, str] = {}
    titles = _titles(find_exercise(exercise).tests)
    wrong = [case.wrong for case in find_cases([exercise]) if case.wrong]
    for answer in sorted(wrong, key=lambda one: len(one.rejected_by)):
        for test in answer.rejected_by:
            title = titles.get(test.partition("[")[0], "")
            sentences.setdefault(title, answer.misconception)
    return sentences


def _titles(path: Path) -> dict[str, str]:
    """Return the first sentence of each test of a file, by its name."""
    titles = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and (text := ast.get_docstring(node)):
            first = inspect.cleandoc(text).partition("\n\n")[0]
            titles[node.name] = " ".join(first.split())
    return titles


def _look_cells(rows: list[Row]) -> Iterable[list[str]]:
    def is_honest(row: Row) -> bool:
        return not any("tampering" in text for text in row.look)

    for row in sorted(rows, key=is_honest):
        name = _text(row.student.name)
        yield [_who(row), name, _number(row.total), _list(row.look)]


def _student_cells(report: Report) -> Iterable[list[str]]:
    for row in report.rows:
        points = [
            _number(row.points(exercise))
            if exercise in row.verdicts
            else _cell("&ndash;", -1, "none")
            for exercise in report.run.exercises
        ]
        look = _cell(str(len(row.look) or ""), len(row.look))
        name = _text(row.student.name)
        yield [_who(row), name, *points, _number(row.total), look]


# --- cells ---


def _who(row: Row) -> str:
    link = f"students/{row.folder}/feedback.md"
    return f'<td><a href="{escape(link)}">{escape(row.student.id)}</a></td>'


def _text(text: str) -> str:
    return f"<td>{escape(text)}</td>"


def _list(texts: list[str]) -> str:
    return f"<td>{'<br>'.join(map(escape, texts))}</td>"


def _number(value: int) -> str:
    return _cell(str(value), value)


def _cell(html: str, value: float, kind: str = "") -> str:
    """Return a cell that is sorted by its value."""
    return f'<td class="number {kind}" data-value="{value}">{html}</td>'


def _rows(rows: Iterable[Iterable[str]]) -> str:
    return "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)


def _nothing(columns: int, text: str) -> str:
    return f'<tr><td colspan="{columns}">{text}</td></tr>'
