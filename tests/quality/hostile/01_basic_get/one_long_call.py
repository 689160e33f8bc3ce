"""Is in one call of a C function that nothing interrupts."""

import re


def get_json(*_, **__):
    return re.match(r"(a|a)*$", "a" * 60 + "b")


fetch_all = get_json
