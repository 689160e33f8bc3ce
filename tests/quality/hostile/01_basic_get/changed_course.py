"""Writes into the course wherever it finds it."""

import sys
from pathlib import Path

for place in [*sys.path, *map(str, Path(sys.prefix).resolve().parents)]:
    for name in ("tests/exercises/test_01_basic_get.py", "lessons/course/results.py"):
        path = Path(place) / name
        if path.exists():
            try:
                text = path.read_text(encoding="utf-8")
                path.write_text(text, encoding="utf-8")
                (path.parent / "hostile.txt").write_text("I was here")
            except OSError:
                continue


def get_json(url, params=None, timeout=10.0):
    return None


def fetch_all(url, params=None):
    return []
