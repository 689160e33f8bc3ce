"""Lesson 03, imported by its notebook: no error shows a key that a server repeats."""

KEYS: set[str] = set()  # the keys of this program; tidy_key adds each
SHORTEST = 8  # characters; a shorter key is no secret, and may be part of a word


def hide_keys(text: str) -> str:
    """Return what a server said with … for each key in it: errors end up in logs.

    Shorten a text after this, not before, or a part of a key may stay at its end.
    """
    for key in sorted(KEYS, key=len, reverse=True):  # one may be a part of another
        if len(key) >= SHORTEST:
            text = text.replace(key, "…")
    return text
