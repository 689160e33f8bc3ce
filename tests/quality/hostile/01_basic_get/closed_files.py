"""Closes every file of the process."""

import os


def get_json(*_, **__):
    os.closerange(0, 256)


fetch_all = get_json
