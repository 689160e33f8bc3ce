"""Lets the clock of the tests stand still."""

import time

now = time.monotonic()
time.monotonic = lambda: now
time.sleep = lambda _: None


def get_json(url, params=None, timeout=10.0):
    return None


def fetch_all(url, params=None):
    return []
