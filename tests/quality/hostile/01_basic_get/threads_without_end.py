"""Leaves threads that never end, and swallow whatever should end them."""

import threading
import time


def forever():
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            continue


for _ in range(3):
    threading.Thread(target=forever).start()


def get_json(url, params=None, timeout=10.0):
    return None


def fetch_all(url, params=None):
    return []
