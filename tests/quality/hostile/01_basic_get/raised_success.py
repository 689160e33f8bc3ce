"""Raises what ends a program in peace."""


def get_json(*_, **__):
    raise SystemExit(0)


def fetch_all(*_, **__):
    raise KeyboardInterrupt
