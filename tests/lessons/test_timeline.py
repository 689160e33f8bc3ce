"""The timeline: what is drawn for which record.

Read from the artists, not from the pixels.
"""

import io
from collections.abc import Iterable
from typing import Any

import nbformat
import pytest
import requests
from matplotlib import style
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from mock_server import MockServer, Record
from nbclient import NotebookClient
from PIL import Image
from timeline import (
    BROKEN,
    COLOURS,
    FIRST_BYTE,
    GOOD,
    OPEN,
    RECEIVING,
    SIGNS,
    WAITING,
    draw_timeline,
    outcome,
)


def record(
    n: int, received: float, first_byte: float | None, ended: float | None, **more: Any
) -> Record:
    """A record as the server writes it; complete with a 200 unless told otherwise."""
    usual = {
        "method": "GET",
        "path": "/v1/models",
        "query": "",
        "headers": {},
        "key": "",
        "connection": 1,
    }
    usual |= {"status": 200, "end": "complete" if ended is not None else ""}
    return Record(
        n=n,
        exchange=n,
        received=received,
        first_byte=first_byte,
        ended=ended,
        **{**usual, **more},
    )


def drawn(records: Iterable[Record], title: str | None = None) -> Figure:
    """Return the figure of the picture of some records."""
    return draw_timeline(records, title).figure


def bars(figure: Figure, label: str) -> list[tuple[int, float, float]]:
    """Row, start and end of the bars with this label."""
    boxes = [
        box
        for box in figure.axes[0].containers
        if isinstance(box, BarContainer) and box.get_label() == label
    ]
    assert len(boxes) == 1, f"one set of bars is called {label!r}"
    found = []
    for bar in boxes[0]:
        row = round(bar.get_y() + bar.get_height() / 2)
        found.append(
            (row, round(bar.get_x(), 6), round(bar.get_x() + bar.get_width(), 6))
        )
    return found


def labels(axis_owner: Any) -> list[str]:
    """The texts beside the rows, from top to bottom."""
    return [label.get_text() for label in axis_owner.get_yticklabels()]


def legend(figure: Figure) -> list[str]:
    """The texts of the legend."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_bar_is_thin_until_the_first_byte_and_thick_until_the_end() -> None:
    """Times count from the first arrival, whichever record it is in."""
    figure = drawn([record(2, 10.5, 10.7, 11.0), record(1, 10.0, 10.25, 10.25)])
    assert bars(figure, WAITING) == [(0, 0.5, 0.7), (1, 0.0, 0.25)]
    assert bars(figure, RECEIVING) == [(0, 0.7, 1.0), (1, 0.25, 0.25)]
    assert figure.axes[0].get_xlim()[1] >= 1.0, "the last moment is inside the picture"


def test_a_short_body_is_seen_all_the_same() -> None:
    """A line of fixed width stands where the first byte was sent, however short the
    body took.
    """
    figure = drawn([record(1, 0, 0.5, 0.5000001), record(2, 0, 1.0, 1.0)])
    (lines,) = figure.axes[0].collections
    assert [segment[0][0] for segment in lines.get_segments()] == [0.5, 1.0]
    assert lines.get_linewidth()[0] > 1


def test_without_a_first_byte_the_bar_stays_thin() -> None:
    """A request that was dropped has waited until its end and received nothing."""
    figure = drawn([record(1, 0, None, 0.4, status=None, end="rst")])
    assert bars(figure, WAITING) == [(0, 0.0, 0.4)]
    assert bars(figure, RECEIVING) == []
    assert legend(figure) == [f"{SIGNS[BROKEN]} {BROKEN}", WAITING], (
        "the legend names nothing that does not occur"
    )


def test_an_open_request_lasts_up_to_the_last_moment_known() -> None:
    """The end of an open request is not known: it reaches to the latest time in any
    record.
    """
    figure = drawn(
        [
            record(1, 0, None, None, status=None),
            record(2, 0.5, 0.6, 2.0),
            record(3, 1, 1.5, None),
        ]
    )
    assert bars(figure, WAITING) == [(0, 0.0, 2.0), (1, 0.5, 0.6), (2, 1.0, 1.5)]
    assert bars(figure, RECEIVING) == [(1, 0.6, 2.0), (2, 1.5, 2.0)]


@pytest.mark.parametrize(
    ("end", "status", "name"),
    [
        ("complete", 200, GOOD),
        ("complete", 304, GOOD),
        ("complete", 404, "complete, 4xx"),
        ("complete", 429, "complete, 4xx"),
        ("complete", 503, "complete, 5xx"),
        ("cut", 200, BROKEN),
        ("rst", None, BROKEN),
        ("fin", None, BROKEN),
        ("client-gone", None, "the client left"),
        ("client-gone", 200, "the client left"),
        ("server-stopped", None, "the server stopped"),
        ("", None, OPEN),
        ("", 200, OPEN),
    ],
)
def test_the_colour_tells_the_outcome(end: str, status: int | None, name: str) -> None:
    """Every end that the server writes has a name, a colour and a legend."""
    one = record(
        1, 0, 0.1 if status else None, 0.2 if end else None, end=end, status=status
    )
    assert outcome(one) == name
    figure = drawn([one])
    assert legend(figure)[0].endswith(name)
    assert SIGNS.get(name, "") in legend(figure)[0], "a sign that nobody explains"
    (bar,) = figure.axes[0].containers[0]
    assert to_hex(bar.get_facecolor()).upper() == COLOURS[name]


def test_colours_differ_in_more_than_hue() -> None:
    """No outcome looks like another, and broken and open requests also have a sign."""
    assert len(set(COLOURS.values())) == len(COLOURS)
    figure = drawn(
        [
            record(1, 0, None, 1, status=None, end="fin"),
            record(2, 0, 0.5, None),
            record(3, 0, 1, 1),
        ]
    )
    assert [(sign.get_text(), sign.xy) for sign in figure.axes[0].texts] == [
        (SIGNS[BROKEN], (1, 0)),
        (SIGNS[OPEN], (1, 1)),
    ]


def test_rows_are_labelled_like_the_table_of_the_server() -> None:
    """Number, connection and request are on the left, status, end and fault right."""
    records = [
        record(
            1, 0, 0.1, 0.2, path="/search/repositories", query="q=python&per_page=50"
        ),
        record(
            2,
            0,
            0.1,
            0.2,
            status=503,
            fault="status(503, retry_after=1)",
            connection=12,
            method="POST",
        ),
        record(3, 0, None, 0.2, status=None, end="rst", fault='drop("rst")'),
        record(
            4, 0, 0.1, 0.2, end="client-gone", fault="stall(after_events=3) + slice(3)"
        ),
        record(5, 0, None, None, status=None, fault="hang()"),
    ]
    figure = drawn(records, title=r"$\frac$ each")
    left, right = figure.axes[0], figure.axes[0].child_axes[0]
    assert labels(left) == [
        "n  conn  request",
        "1  #1    GET /search/r…n&per_page=50",
        "2  #12   POST /v1/models",
        "3  #1    GET /v1/models",
        "4  #1    GET /v1/models",
        "5  #1    GET /v1/models",
    ]
    assert labels(right) == [
        "status",
        "200",
        "503",
        'drop("rst")',
        "200 · client-gone\nstall(after_events=3) + slice(3)",
        "open · hang()",
    ]
    assert left.get_xlabel() == (
        "seconds since the first request; rows in order of arrival"
    )
    assert left.get_title(loc="left") == r"$\frac$ each"
    assert left.get_ylim()[0] > left.get_ylim()[1], "the first request is on top"
    figure.savefig(io.BytesIO())  # a dollar sign is not a formula, or this raises


def test_many_requests_have_fewer_labels() -> None:
    """Above 25 requests every fifth is named, and of the results only those that are
    out of the usual.
    """
    records = [record(n, n / 10, n / 10 + 0.1, n / 10 + 0.2) for n in range(1, 51)]
    records[7].status = 429
    records[9].fault = "delay(0.2)"
    figure = drawn(records)
    left, right = figure.axes[0], figure.axes[0].child_axes[0]
    assert [label.split()[0] for label in labels(left)] == [
        "n",
        *map(str, range(1, 51, 5)),
    ]
    assert labels(right) == ["status", "429", "200 · delay(0.2)"]
    assert len(labels(drawn(records[:25]).axes[0])) == 26, (
        "up to 25, every request is named"
    )


@pytest.mark.parametrize("count", [1, 400])
def test_the_picture_is_small_enough_for_a_notebook(count: int) -> None:
    """At most 150 KB and 850 pixels high on the page, white to the edge, whatever the
    theme behind it.
    """
    ends = ["complete", "complete", "complete", "rst", "client-gone", "cut", ""]
    records = []
    for n in range(1, count + 1):
        end = ends[n % len(ends)]
        ended = n / 7 + 0.3 if end else None
        records.append(
            record(n, n / 7, n / 7 + 0.11, ended, end=end, status=200 + 100 * (n % 4))
        )
    png, size = draw_timeline(records)._repr_png_()
    assert len(png) < 150_000
    assert size["width"] == 800 and size["height"] <= 850
    picture = Image.open(io.BytesIO(png))
    assert picture.size == (2 * size["width"], 2 * size["height"]), (
        "sharp on a screen of double resolution"
    )
    corners = {
        picture.convert("RGB").getpixel((x, y))
        for x in (0, picture.width - 1)
        for y in (0, picture.height - 1)
    }
    assert corners == {(255, 255, 255)}


def test_a_dark_style_of_the_notebook_changes_nothing() -> None:
    """The card stays white and its text dark: a dark style makes text white, which
    nobody could read on it.
    """
    records = [record(1, 0, 0.5, 1.0)]
    usual = draw_timeline(records)
    with style.context("dark_background"):
        timeline = draw_timeline(records)
        png, _ = timeline._repr_png_()
    figure = timeline.figure
    assert to_hex(figure.get_facecolor()) == "#ffffff"
    for text in (
        figure.axes[0].xaxis.label,
        *figure.axes[0].get_yticklabels(),
        *figure.legends[0].get_texts(),
    ):
        assert to_hex(text.get_color()) == "#000000", f"{text.get_text()!r} is dark"
    assert png == usual._repr_png_()[0]


def test_a_thin_bar_is_as_thick_as_its_sample() -> None:
    """Waiting cannot be taken for receiving: bar and legend agree, in points."""
    figure = drawn([record(n, 0, 0.5, 1.0) for n in range(12)])
    figure.canvas.draw()
    sample = next(
        handle
        for handle in figure.legends[0].legend_handles
        if handle.get_label() == WAITING
    )
    thin, thick = (
        next(iter(bars)).get_window_extent().height * 72 / figure.dpi
        for bars in figure.axes[0].containers
    )
    assert thin == pytest.approx(sample.get_linewidth(), rel=0.3)
    assert thick > 4 * thin


def test_pages_are_told_apart() -> None:
    """What is too long loses its middle: the pages differ in the end."""
    query = "q=python&sort=stars&per_page=50&page="
    records = [record(n, 0, 0.1, 0.2, query=f"{query}{n}") for n in (1, 2)]
    one, two = labels(drawn(records).axes[0])[1:]
    assert one.endswith("&page=1") and two.endswith("&page=2")


def test_a_record_that_closes_meanwhile_changes_nothing() -> None:
    """The picture is of the moment in which it was asked for."""
    one = record(1, 0, None, None, status=None)

    def closes() -> Any:
        yield record(2, 0, 0.5, 1.0)
        yield one
        one.ended, one.end = 9.0, "complete"

    timeline = draw_timeline(closes())
    assert bars(timeline.figure, WAITING) == [(0, 0.0, 0.5), (1, 0.0, 1.0)]
    assert timeline.alt == (
        "Requests, as the server saw them: a time axis with a bar for each of 2 "
        "requests; 1 complete, 2xx or 3xx, 1 still open."
    )


def test_no_records_is_an_error_that_says_so() -> None:
    """An empty picture would hide that no request was made."""
    with pytest.raises(ValueError, match="no records to draw yet: send a request"):
        drawn([])


@pytest.mark.filterwarnings("error")
def test_a_record_of_no_length_can_be_drawn() -> None:
    """One open request, of which nothing but its arrival is known, has a length of
    zero, and no warning.
    """
    figure = drawn(iter([record(1, 3, None, None, status=None)]))
    assert bars(figure, WAITING) == [(0, 0.0, 0.0)]
    assert figure.axes[0].get_xlim()[1] > 0


def test_real_records_can_be_drawn(server: MockServer) -> None:
    """The records of a server that has just answered are what the function takes."""
    requests.get(server.url + "/get", timeout=2)
    timeline = draw_timeline(server.records)
    assert legend(timeline.figure) == [GOOD, WAITING, RECEIVING, FIRST_BYTE]
    assert repr(timeline) == "<timeline of 1 request>"


def test_a_notebook_shows_one_picture_and_a_stable_text() -> None:
    """As the last line of a cell the call shows one picture, with pyplot imported or
    not; nothing else is printed.
    """
    setup = (
        "from mock_server import Record\nfrom timeline import draw_timeline\n"
        "records = [Record(n=n, method='GET', path='/', query='', headers={}, key='', "
        "connection=1, exchange=n,"
        " received=n, first_byte=n + .5, ended=n + 1, status=200, end='complete') for "
        "n in (1, 2)]"
    )
    cells = [
        setup,
        "draw_timeline(records)",
        "import matplotlib.pyplot as plt\nplt.figure()\nplt.close()\n"
        "draw_timeline(records)",
    ]
    cells.append("plt.style.use('dark_background')\ndraw_timeline(records)")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells]
    )
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    assert notebook.cells[0].outputs == []
    for cell in notebook.cells[1:]:
        (output,) = cell.outputs
        assert output.data["text/plain"] == "<timeline of 2 requests>"
        assert "image/png" in output.data
        assert output.metadata["image/png"]["alt"], "the alt text is gone"
