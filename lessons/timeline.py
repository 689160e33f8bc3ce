"""A picture of what the mock server saw: a bar for each request, drawn from the
server's records.
"""

import copy
import io
import logging
import math
from collections import Counter
from collections.abc import Iterable

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from mock_server import Record
from PIL import Image  # which matplotlib needs itself

# matplotlib lists the fonts of a machine when it is first used there, and tells so in
# the middle of the lesson.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

# How a request went, and its colour: from Okabe and Ito's palette, for people with any
# kind of colour vision.
GOOD, BROKEN, OPEN = "complete, 2xx or 3xx", "broken off by the server", "still open"
COLOURS = {
    GOOD: "#0072B2",
    "complete, 4xx": "#E69F00",
    "complete, 5xx": "#D55E00",
    BROKEN: "#000000",
    "the client left": "#CC79A7",
    "the server stopped": "#999999",
    OPEN: "#56B4E9",
}
SIGNS = {BROKEN: "×", OPEN: "▸"}  # noqa: RUF001
WAITING, RECEIVING = "thin: waiting for the first byte", "thick: receiving the body"
FIRST_BYTE = "tick: the first byte"
# How high a bar is, in rows. A thin one is as thick as its sample in the legend.
THIN, THICK = 0.13, 0.8
# from here on bars are thinner and labels fewer; beyond twice as many, rows shrink
MANY = 25


class Timeline:
    """A picture of requests, with an alt text: what a notebook shows of a Figure.

    It is not a Figure itself, because pyplot shows those without their alt text.
    """

    def __init__(self, count: int, alt: str) -> None:
        row = (
            0.27
            if count <= MANY
            else 0.13
            if count <= 2 * MANY
            else 0.13 * 2 * MANY / count
        )  # inches
        self.figure = Figure(
            figsize=(8, max(2.2, 1.7 + row * count)),
            dpi=200,
            layout="constrained",
            facecolor="white",
        )
        self.count, self.alt = count, alt

    def __repr__(self) -> str:
        return f"<timeline of {self.count} request{'' if self.count == 1 else 's'}>"

    def _repr_png_(self) -> tuple[bytes, dict[str, int | str]]:
        """Return the picture for a notebook, with its size and its alt text.

        It has twice the pixels of the place it takes, few colours, and so few bytes.
        """
        canvas, small = FigureCanvasAgg(self.figure), io.BytesIO()
        canvas.draw()
        size, pixels = canvas.get_width_height(), canvas.buffer_rgba()
        picture = Image.frombuffer("RGBA", size, pixels).convert("RGB")
        picture = picture.quantize(
            64, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
        picture.save(small, format="png")
        return small.getvalue(), {
            "width": picture.width // 2,
            "height": picture.height // 2,
            "alt": self.alt,
        }


def outcome(record: Record) -> str:
    """Return how a request went: a name in COLOURS."""
    if record.end == "complete":
        status = record.status or 200
        return f"complete, {status // 100}xx" if status >= 400 else GOOD
    ends = {
        "": OPEN,
        "client-gone": "the client left",
        "server-stopped": "the server stopped",
    }
    return ends.get(record.end, BROKEN)


def draw_timeline(records: Iterable[Record], title: str | None = None) -> Timeline:
    """Return a picture with a bar for each request: from its arrival to its end, in
    seconds since the first arrival.

    A bar is thin while the client waits for the first byte of the reply, and thick
    while it receives the body. A request that is still open is drawn up to the last
    moment in the records, which are taken as they are now.

    A notebook shows the picture if the call is the last line of a cell, with no
    semicolon after it. Raises ValueError if there are no records.
    """
    # The server may go on writing into its own.
    records = [copy.copy(record) for record in records]
    if not records:
        raise ValueError(
            "there are no records to draw yet: send a request to the server first"
        )
    with style.context(
        "default"
    ):  # dark on white, also where the notebook's own style is another one
        title = title or "Requests, as the server saw them"
        timeline = Timeline(len(records), _describe(records, title))
        figure = timeline.figure
        axes = figure.subplots()
        _draw_bars(axes, records)
        _label_rows(axes, records)
        axes.set_title(title, loc="left", parse_math=False)
        axes.set_xlabel("seconds since the first request; rows in order of arrival")
        axes.grid(axis="x", color="#dddddd")
        axes.set_axisbelow(True)
        axes.spines[["top", "left", "right"]].set_visible(False)
        _add_legend(figure, records)
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)  # inches
    return timeline


def _describe(records: list[Record], title: str) -> str:
    """Return what the picture shows, in a sentence for those who cannot see it."""
    counts = Counter(outcome(record) for record in records)
    parts = [f"{counts[name]} {name}" for name in COLOURS if counts[name]]
    requests = f"{len(records)} request{'' if len(records) == 1 else 's'}"
    return (
        f"{title}: a time axis with a bar for each of {requests}; {', '.join(parts)}."
    )


def _draw_bars(axes: Axes, records: list[Record]) -> None:
    start = min(record.received for record in records)
    moments = [
        moment
        for record in records
        for moment in (record.received, record.first_byte, record.ended)
    ]
    last = max(moment for moment in moments if moment is not None)
    colours = [COLOURS[outcome(record)] for record in records]
    begins = [record.received - start for record in records]
    ends = [
        (last if record.ended is None else record.ended) - start for record in records
    ]
    answered = [
        row for row, record in enumerate(records) if record.first_byte is not None
    ]
    waited = ends.copy()  # until when: the first byte, or the end if none came
    for row in answered:
        waited[row] = records[row].first_byte - start
    widths = [until - begin for begin, until in zip(begins, waited, strict=True)]
    axes.barh(
        range(len(records)),
        widths,
        left=begins,
        height=THIN,
        color=colours,
        label=WAITING,
    )
    lefts, colours_of_answered = (
        [waited[row] for row in answered],
        [colours[row] for row in answered],
    )
    widths = [ends[row] - waited[row] for row in answered]
    axes.barh(
        answered,
        widths,
        left=lefts,
        height=THICK,
        color=colours_of_answered,
        label=RECEIVING,
    )
    tops = [row - THICK / 2 for row in answered]
    bottoms = [row + THICK / 2 for row in answered]
    axes.vlines(
        lefts, tops, bottoms, colors=colours_of_answered, linewidth=1.5
    )  # to be seen however short the body is
    for row, record in enumerate(records):
        if sign := SIGNS.get(outcome(record)):
            axes.annotate(
                sign,
                (ends[row], row),
                (2, 0),
                textcoords="offset points",
                va="center_baseline",
            )
    axes.set_xlim(0, (last - start or 0.001) * 1.08)
    axes.set_ylim(
        len(records) - 0.4, -_head(records) - 0.5
    )  # from bottom to top: the first request is on top


def _head(records: list[Record]) -> float:
    """Return how many rows the head of the table is above the first request."""
    return max(1, len(records) / (2 * MANY))


def _label_rows(axes: Axes, records: list[Record]) -> None:
    """Write to the left of the bars which requests they are, and to the right what
    became of them.
    """
    count, is_many = len(records), len(records) > MANY
    every = 5 * math.ceil(count / (2 * MANY)) if is_many else 1
    rows = [row for row in range(count) if row % every == 0]
    told = [
        row
        for row in range(count)
        if not is_many or outcome(records[row]) != GOOD or records[row].fault
    ]
    told = told if count <= 2 * MANY else []
    digits = len(str(max(record.n for record in records)))
    which = [f"{'n':>{digits}}  conn  request"]
    for row in rows:
        record = records[row]
        place = f"{record.n:>{digits}}  #{record.connection:<3}  "
        which.append(place + _shorten(record.request, 36 - len(place)))
    result = ["status" if told else ""]
    result += [_result(records[row], is_many) for row in told]
    size = 7 if is_many else 8  # points
    right = axes.secondary_yaxis("right")
    axes.set_yticks(
        [-_head(records), *rows],
        which,
        parse_math=False,
        fontsize=size,
        ha="left",
        family="monospace",
    )
    axes.tick_params(
        axis="y", length=0, pad=0.61 * size * max(map(len, which)) + 3
    )  # 0.6: as wide as a letter is
    right.set_yticks(
        [-_head(records), *told],
        result,
        parse_math=False,
        fontsize=size,
        family="monospace",
        linespacing=1.1,
    )
    right.tick_params(axis="y", length=0)
    right.spines["right"].set_visible(False)


def _result(record: Record, in_one_line: bool) -> str:
    """Return status, end and fault of a request, as far as they say something."""
    status = str(record.status or "")
    end = {
        "": "open",
        "client-gone": "client-gone",
        "server-stopped": "server-stopped",
    }.get(record.end, "")
    fault = "" if record.fault.startswith("status(") else record.fault
    result = " · ".join(part for part in (status, end, fault) if part)
    if len(result) > 32 and not in_one_line and result != fault:
        before = result.removesuffix(f" · {fault}")
        return f"{before}\n{_shorten(fault, 40)}"
    return _shorten(result, 40)


def _shorten(text: str, length: int) -> str:
    """Return a text without its middle, if it is too long.

    Requests for several pages differ in their ends.
    """
    if len(text) <= length:
        return text
    head = length // 2
    return text[:head] + "…" + text[head + 1 - length :]


def _add_legend(figure: Figure, records: list[Record]) -> None:
    outcomes = {outcome(record) for record in records}
    shown = [
        Patch(color=COLOURS[name], label=f"{SIGNS.get(name, '')} {name}".strip())
        for name in COLOURS
        if name in outcomes
    ]
    shown.append(Line2D([], [], color="#444444", linewidth=2.5, label=WAITING))
    if any(record.first_byte is not None for record in records):
        shown.append(Patch(color="#444444", label=RECEIVING))
        tick = {"marker": "|", "markersize": 11, "markeredgewidth": 1.5}
        shown.append(
            Line2D([], [], color="#444444", linewidth=0, label=FIRST_BYTE, **tick)
        )
    figure.legend(
        handles=shown, loc="outside lower center", ncols=3, frameon=False, fontsize=9
    )
