"""Starts processes until it cannot."""

import os
import time

for _ in range(400):
    try:
        child = os.fork()
    except OSError:
        break
    if not child:
        time.sleep(100)
        os._exit(0)


def get_json(url, params=None, timeout=10.0):
    return None


def fetch_all(url, params=None):
    return []
