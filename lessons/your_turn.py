"""Check the few lines that a learner writes in a notebook: what is not right yet?

    your_turn.check(may_start, (([], 0.0), True), (([0.0, 0.1, 0.2], 0.9), False))

A case is (arguments, what the function should return). An exception class in the second
place is what it should raise.
"""

import inspect
from collections.abc import Callable
from typing import Any

Case = tuple[tuple[Any, ...], Any]
Outcome = tuple[str, Any]  # "gave" and a value, or "raised" and an error


def check(function: Callable[..., Any], *cases: Case) -> Any:
    """Call a function with each case; print the first one that is not right yet.

    For an `async def`: `await your_turn.check(...)`.
    """
    if inspect.iscoroutinefunction(function):
        return _check_async(function, cases)
    outcomes: list[Outcome] = []
    calls = _write_calls(function, cases)
    for arguments, _ in cases:
        try:
            outcomes.append(("gave", function(*arguments)))
        except Exception as error:
            outcomes.append(("raised", error))
    _report(calls, cases, outcomes)
    return None


async def _check_async(function: Callable[..., Any], cases: tuple[Case, ...]) -> None:
    outcomes: list[Outcome] = []
    calls = _write_calls(function, cases)
    for arguments, _ in cases:
        try:
            outcomes.append(("gave", await function(*arguments)))
        except Exception as error:
            outcomes.append(("raised", error))
    _report(calls, cases, outcomes)


def _write_calls(function: Callable[..., Any], cases: tuple[Case, ...]) -> list[str]:
    """Return each call as text, before the function can change its arguments."""
    return [
        f"{function.__name__}({', '.join(map(repr, arguments))})"
        for arguments, _ in cases
    ]


def _report(calls: list[str], cases: tuple[Case, ...], outcomes: list[Outcome]) -> None:
    for call, (_, wanted), (did, result) in zip(calls, cases, outcomes, strict=True):
        is_error = isinstance(wanted, type) and issubclass(wanted, Exception)
        is_alike = type(result) is wanted if is_error else _is_equal(result, wanted)
        if is_alike and did == ("raised" if is_error else "gave"):
            continue
        should = f"raise {wanted.__name__}" if is_error else f"give {wanted!r}"
        print(f"not yet: {call} {did} {result!r}\n         and should {should}")
        return
    print(f"right: {len(cases)} of {len(cases)}")


def _is_equal(result: Any, wanted: Any) -> bool:
    """Say whether two values are equal, and of one type: 1 is not True."""
    return type(result) is type(wanted) and result == wanted
