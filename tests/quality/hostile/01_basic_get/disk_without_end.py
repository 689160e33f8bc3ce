"""Writes files without end."""

from itertools import count
from pathlib import Path


def get_json(*_, **__):
    for number in count():
        try:
            Path(f"large{number}").write_bytes(b"17 passed" * 1_000_000)
        except OSError:
            return number
        if number > 30:  # enough to show it, and harmless
            return number


fetch_all = get_json
