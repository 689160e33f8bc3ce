"""What a fault is: one step or several that change a reply, made by a function whose
amounts are checked, and readable from text.

The functions themselves are in fault.py.
"""

import ast
import functools
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec

from .reply import Reply, to_json

# The order in which composed faults are applied.
CONTENT, WHOLE, EVENTS, KEYS, BYTES, END, LAST = range(7)
MOST_STEPS = 100  # in one fault
P = ParamSpec("P")


@dataclass(frozen=True)
class Step:
    """One change to a reply.

    text: the call that makes it; equal texts are equal steps.
    refuses: True if the request is not carried out at all, as a server does that
        answers 503. Otherwise it is carried out, and only the reply suffers.
    """

    text: str
    stage: int
    refuses: bool
    apply: Callable[[Reply], None] = field(compare=False)


@dataclass(frozen=True, repr=False)
class Fault:
    """What happens to a reply: a step, or several.

    Make one with the functions of fault.py, and join them with `+`.
    """

    steps: tuple[Step, ...]

    @property
    def refuses(self) -> bool:
        """True if the request is not carried out at all."""
        return any(step.refuses for step in self.steps)

    def in_order(self) -> list[Step]:
        """Return the steps in the order in which they are applied."""
        return sorted(self.steps, key=lambda step: step.stage)

    def apply(self, reply: Reply) -> None:
        """Change the reply that would have been sent."""
        for step in self.in_order():
            step.apply(reply)

    def __add__(self, other: "Fault") -> "Fault":
        if not isinstance(other, Fault):
            return NotImplemented
        steps = self.steps + other.steps
        if len(steps) > MOST_STEPS:
            raise ValueError(f"a fault has at most {MOST_STEPS} steps")
        return Fault(steps)

    def __repr__(self) -> str:
        return " + ".join(step.text for step in self.steps)


# --- amounts --------------------------------------------------------------------------

MOST_BYTES = 4 * 1024 * 1024
MOST_PIECES = 10_000
Check = tuple[Callable[[Any], bool], str]  # what a value must be, in code and in words


def is_seconds(value: Any) -> bool:
    """Say whether value is a number of seconds, from 0 to a million."""
    return type(value) in (int, float) and 0 <= value <= 1e6


def _is_text(value: Any) -> bool:
    """Say whether value can stand in a line of a reply's head."""
    return isinstance(value, str) and value.isprintable() and len(value) <= 8000


def _is_body(value: Any) -> bool:
    try:
        return len(to_json(value)) <= MOST_BYTES
    except (TypeError, ValueError, RecursionError):
        return False


def _are_headers(value: Any) -> bool:
    if not isinstance(value, dict) or len(value) > 100:
        return False
    names = r"(?!(content-length|transfer-encoding)$)[\w!#$%&'*+.^`|~-]{1,100}"
    return all(
        isinstance(name, str)
        and re.fullmatch(names, name, re.ASCII | re.IGNORECASE)
        and _is_text(text)
        for name, text in value.items()
    )


def count(least: int, most: int) -> Check:
    """Return the check for a whole number in these bounds, both of them allowed."""
    return (
        lambda value: type(value) is int and least <= value <= most,
        f"a whole number from {least} to {most}",
    )


def one_of(*texts: str) -> Check:
    """Return the check for one of these texts."""
    return lambda value: value in texts, "one of " + ", ".join(map(repr, texts))


SECONDS: Check = (is_seconds, "a number of seconds, from 0 to 1,000,000")
SWITCH: Check = (lambda value: isinstance(value, bool), "True or False")
TEXT: Check = (_is_text, "a text in one line, of at most 8,000 characters")
TEXT_OR_NONE: Check = (lambda value: value is None or _is_text(value), "a text or None")
TEXT_OR_COUNT: Check = (
    lambda value: _is_text(value) or count(0, 10**9)[0](value),
    "a text or a whole number",
)
TEXT_OR_SECONDS: Check = (
    lambda value: _is_text(value) or is_seconds(value),
    "a number of seconds, or a text",
)
BODY: Check = (_is_body, "a text or what JSON can hold, of at most 4 MiB")
HEADERS: Check = (
    _are_headers,
    "a dict of header names and values, without Content-Length and Transfer-Encoding",
)
KEY: Check = (
    lambda value: _is_text(value) and value != "",
    "the name of a key",
)


# --- from a function to a fault -------------------------------------------------------

NAMES: dict[str, Callable[..., Fault]] = {}  # every fault there is, by name


def makes_fault(
    stage: int | Callable[..., int],
    refuses: bool | Callable[..., bool] = False,
    **checks: Check,
) -> Callable[[Callable[Concatenate[Reply, P], None]], Callable[P, Fault]]:
    """Make a function that changes a reply, given some amounts, into one that takes the
    amounts and returns a Fault.

    stage and refuses (see Step) may be functions of the amounts.
    checks: for each amount, what it must be; None is right where it is the default.
    """

    def decorate(change: Callable[Concatenate[Reply, P], None]) -> Callable[P, Fault]:
        _, *parameters = inspect.signature(change).parameters.values()
        signature = inspect.Signature(parameters, return_annotation=Fault)

        @functools.wraps(change)
        def make(*args: P.args, **kwargs: P.kwargs) -> Fault:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            amounts, texts = bound.arguments, []
            for name, parameter in signature.parameters.items():
                value, (is_right, wanted) = amounts[name], checks[name]
                is_left_out = value is None and parameter.default is None
                if not is_left_out and not is_right(value):
                    raise ValueError(f"{name} must be {wanted}, not {_short(value)}")
                if parameter.kind is not parameter.KEYWORD_ONLY:
                    texts.append(_as_text(value))
                elif value != parameter.default:
                    texts.append(f"{name}={_as_text(value)}")
            step = Step(
                text=f"{change.__name__}({', '.join(texts)})",
                stage=stage(**amounts) if callable(stage) else stage,
                refuses=refuses(**amounts) if callable(refuses) else refuses,
                apply=functools.partial(change, **amounts),
            )
            return Fault((step,))

        make.__signature__ = signature
        NAMES[change.__name__] = make
        return make

    return decorate


def _as_text(value: Any) -> str:
    """Return value as it stands in a call: a text in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "…"


def catalogue() -> list[tuple[str, list[inspect.Parameter], str]]:
    """Return for each fault its name, its amounts, and what it does in a sentence."""
    faults = []
    for name, make in NAMES.items():
        parameters = inspect.signature(make).parameters.values()
        amounts = [one.replace(annotation=one.empty) for one in parameters]
        sentence = " ".join((make.__doc__ or "").split()).partition(". ")[0]
        faults.append((name, amounts, sentence.rstrip(".")))
    return faults


# --- from text to a fault -------------------------------------------------------------


def parse(text: str) -> Fault:
    """Return the fault that text describes, such as `hang`, `status(429,
    retry_after=1)` or `crlf() + slice(3)`.

    Raises ValueError, with the list of the valid names if the name is the trouble.
    """
    try:
        return _build(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"cannot read the fault {text[:200]!r}: {error}") from error


def _build(node: ast.expr) -> Fault:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _build(node.left) + _build(node.right)
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name):
        wrong = ast.unparse(node)
        raise ValueError(f"a fault looks like a call, as status(503) does, not {wrong}")
    name = call.func.id
    if name not in NAMES:
        known = ", ".join(sorted(NAMES))
        raise ValueError(f"unknown fault {name!r}; the faults are {known}")
    named = {keyword.arg: _value(keyword.value) for keyword in call.keywords}
    return NAMES[name](*map(_value, call.args), **named)


def _value(node: ast.expr) -> Any:
    """Return the argument a node stands for; a bare word is a text, so `drop(rst)`
    needs no quotes in a shell.
    """
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)
