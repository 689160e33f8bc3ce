"""Forks, and lets the forks wait."""

import os
import time

for _ in range(3):
    if not os.fork():
        os.setsid()
        time.sleep(100)
        os._exit(0)


def get_json(url, params=None, timeout=10.0):
    return None


def fetch_all(url, params=None):
    return []
