"""Lesson 03, imported by its notebook: a key is checked, and shown in no error."""

KEYS: set[str] = set()  # the keys of this program
SHORTEST = 8  # characters; a shorter key is no secret, and may be part of a word


def tidy_key(key: str | None) -> str:
    """Return an API key without the spaces around it; hide_keys knows it from now on.

    Raises ValueError, in which the key is not quoted, if it cannot be one.
    """
    key = (key or "").strip()
    if not key:
        raise ValueError("no API key: set OPENAI_API_KEY in the environment or in .env")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the API key has a character that no key has: copy it again")
    KEYS.add(key)
    return key


def hide_keys(text: str) -> str:
    """Return what a server said with … for each key in it: errors end up in logs.

    Shorten a text after this, not before, or a part of a key may stay at its end.
    """
    for key in sorted(KEYS, key=len, reverse=True):  # one may be a part of another
        if len(key) >= SHORTEST:
            text = text.replace(key, "…")
    return text
