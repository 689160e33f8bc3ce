"""Answers are no tests, and answers that are notebooks are none to compare."""

collect_ignore = ["right", "wrong", "hostile"]
