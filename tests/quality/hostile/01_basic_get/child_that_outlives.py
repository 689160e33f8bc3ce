"""Leaves a process in a session of its own."""

import subprocess
import sys

subprocess.Popen(
    [sys.executable, "-S", "-c", "import time; time.sleep(100)  # outlives"],
    start_new_session=True,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)


def get_json(url, params=None, timeout=10.0):
    return None


def fetch_all(url, params=None):
    return []
