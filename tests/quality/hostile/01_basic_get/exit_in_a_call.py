"""Ends the process with exit status 0 when it is called."""

import os


def get_json(*_, **__):
    os._exit(0)


fetch_all = get_json
