"""`python -m lessons watch`: check on every save, and do what single keys ask for."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Any

from .commands import check_all, check_one, hint, paint, reset, start
from .exercises import Exercise, Mistake, find_exercise
from .listing import list_lessons
from .progress import Progress

POLL = 0.2  # seconds between two looks at the file
GONE = 10  # looks without a file until that is said: an editor may move it to save it
BAR = 20  # columns
KEYS = "n next  h hint  a all failures  c check all  l list  r reset  q quit"


def watch(options: argparse.Namespace) -> int:
    """Check now, and again whenever the answer is saved, until q or Ctrl-C."""
    exercise = find_exercise(options.exercise)
    exercise.find_answer()  # raises Mistake if there is none
    with contextlib.suppress(KeyboardInterrupt), _pressed_keys() as keys:
        _Watch(exercise, keys).run()
    print("\nDone watching.")
    return 0


class _Watch:
    """The exercise on the screen, and what is known of its file."""

    def __init__(self, exercise: Exercise, keys: SimpleQueue[str]) -> None:
        self.keys = keys
        self.begin(exercise)

    def begin(self, exercise: Exercise) -> None:
        """Watch this exercise from now on; the next look() checks it."""
        self.exercise = exercise
        self.seen: Any = None  # the state of the file at the last check
        self.absent = 0  # how many looks found no file
        self.points: int | None = None  # at the last check
        self.is_sure = False  # whether r was the key before this one

    def run(self) -> None:
        """Look at the file and at the keys, until q."""
        key = ""
        while key not in ("q", "\x03"):  # on Windows, Ctrl-C may arrive as a key
            if key.strip():
                self.press(key)
            self.look()
            key = ""
            with contextlib.suppress(Empty):
                key = self.keys.get(timeout=POLL)

    def look(self) -> None:
        """Check the answer if it was saved; say so if it is gone."""
        if now := _state(self.exercise):
            self.absent = 0
            if now != self.seen:
                self.seen = now
                self.check()
            return
        self.absent += 1
        if self.absent == GONE:
            self.seen = None
            name = self.exercise.stub.name
            self.show(f"work/{name} is gone. Save it again, or press r for a new one.")

    def press(self, key: str) -> None:
        """Do what a key asks for."""
        is_sure, self.is_sure = self.is_sure and key == "y", key == "r"
        options = argparse.Namespace(exercise=self.exercise.number, hint=None)
        try:
            if key == "n":
                self.go_on()
            elif key == "h":
                self.show()
                hint(options)
            elif key == "a":
                self.check(in_full=True)
                return
            elif key == "c":
                self.show("Checking every exercise that you have begun\n")
                check_all()
            elif key == "l":
                self.show()
                list_lessons(options)
            elif key == "r" and self.exercise.answers:
                self.show("Begin again? Your answer is kept under another name.")
                print("Press y for yes, any other key for no.")
            elif is_sure or key == "r":
                reset(options)
                self.begin(self.exercise)
                return
            else:
                print(f"The keys are: {KEYS}", flush=True)
                return
        except (Mistake, OSError) as error:
            print(error)
        print(f"\n{KEYS}", flush=True)

    def check(self, in_full: bool = False) -> None:
        """Check the answer, and compare with the points before the last save."""
        self.show()
        before = self.points
        try:
            check_one(self.exercise, in_full)
            self.points = Progress().get(self.exercise, "points")
        except Mistake as mistake:
            print(mistake)
        if before is not None and self.points != before:
            print(paint(f"{self.points - before:+} since the last save."))
        print(f"\nWaiting for the next save.\n{KEYS}", flush=True)

    def go_on(self) -> None:
        """Go on to the next exercise that is not solved, and begin it if need be."""
        following = Progress().next_after(self.exercise)
        if not following:
            print("There is no other exercise that is not solved yet.")
            return
        start(argparse.Namespace(exercise=following.number))
        self.begin(following)

    def show(self, text: str = "") -> None:
        """Clear the screen, and print the exercise, the progress and a text."""
        if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            if os.name == "nt":
                os.system("")  # after this, the console obeys the next line
            print("\033[2J\033[H", end="")
        progress = Progress()
        solved, most = progress.solved()
        bar = "#" * (BAR * solved // most)
        print(paint(f"--- {self.exercise.stem}, {time.strftime('%H:%M:%S')}"))
        print(f"[{bar:-<{BAR}}] {solved} of {most} solved, {progress.total()} points\n")
        if text:
            print(text, flush=True)


def _state(exercise: Exercise) -> list[tuple[str, int, int]]:
    """Return what changes when an answer is saved; nothing while there is none."""
    found = []
    for path in exercise.answers:
        # An editor may move the file away for a moment while it saves.
        with contextlib.suppress(OSError):
            status = path.stat()
            found.append((path.name, status.st_mtime_ns, status.st_size))
    return found


@contextlib.contextmanager
def _pressed_keys() -> Iterator[SimpleQueue[str]]:
    """Collect the keys that are pressed, each at once where the terminal can do that.

    Elsewhere, as from a pipe, they come with the end of their line.
    """
    keys: SimpleQueue[str] = SimpleQueue()
    read = _read_letter
    restored: Any = contextlib.nullcontext()
    if sys.stdin and sys.stdin.isatty():
        if os.name == "nt":
            import msvcrt

            read = msvcrt.getwch
        else:
            restored = _single_keys()

    def collect() -> None:
        with contextlib.suppress(OSError):  # there is no standard input
            while key := read():
                keys.put(key)

    with restored:
        threading.Thread(target=collect, daemon=True).start()
        yield keys


@contextlib.contextmanager
def _single_keys() -> Iterator[None]:
    """Let a terminal of Linux or macOS hand over each key at once, until the end."""
    import termios
    import tty

    before = termios.tcgetattr(0)
    tty.setcbreak(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _read_letter() -> str:
    # Not sys.stdin.read(): Python cannot end while a thread waits in there.
    return os.read(0, 1).decode("ascii", "replace")
