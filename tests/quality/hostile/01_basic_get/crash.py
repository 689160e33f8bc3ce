"""Crashes the interpreter."""

import ctypes


def get_json(*_, **__):
    ctypes.string_at(0)


fetch_all = get_json
