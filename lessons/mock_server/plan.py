"""What a person wants to happen to the requests: a script, standing rules, chaos."""

import functools
import operator
import random
from collections import deque
from dataclasses import dataclass
from typing import Any

from .call import Call
from .fault import Fault, ok
from .step import MOST_BYTES, is_seconds

NO_FAULT = ok()
MOST_STEPS = 10_000  # that wait in a script
MOST_RULES = 1_000


@dataclass
class Rule:
    """What to do with every request that matches; None matches anything."""

    method: str | None
    path: str | None
    model: str | None
    fault: Fault | None = None
    latency: float | None = None
    text: str | None = None

    def reply(
        self, *wanted: Fault, latency: float | None = None, text: str | None = None
    ) -> "Rule":
        """Set the faults, the latency in seconds in place of the server's, or the text
        that the model answers with.
        """
        check_faults(wanted)
        if latency is not None:
            check_seconds("latency", latency)
        if not isinstance(text, str | None) or len(text or "") > MOST_BYTES:
            raise ValueError("text must be a text of at most 4 million characters")
        self.fault = functools.reduce(operator.add, wanted) if wanted else None
        self.latency, self.text = latency, text
        return self

    def __post_init__(self) -> None:
        for name in ("method", "path", "model"):
            value = getattr(self, name)
            if not isinstance(value, str | None):
                raise ValueError(f"{name} must be a text, not {value!r}")
        self.method = self.method.upper() if self.method else None

    @property
    def matcher(self) -> tuple[str | None, ...]:
        """What a request must have to match."""
        return self.method, self.path, self.model

    def matches(self, method: str, path: str, body: Any) -> bool:
        """Say whether this rule is for such a request; body is its JSON."""
        model = body.get("model") if isinstance(body, dict) else None
        return (
            self.method in (None, method)
            and self.path in (None, path)
            and self.model in (None, model)
        )


NO_RULE = Rule(None, None, None)


class Plan:
    """The faults that wait for requests.

    seed: decides the chaos, so that a run can be repeated.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.clear()

    def clear(self) -> None:
        """Forget everything but the seed."""
        self._script: deque[Fault] = deque()
        self._rules: list[Rule] = []
        self._chaos: tuple[float, tuple[Fault, ...]] = (0.0, ())

    @property
    def waiting(self) -> int:
        """How many faults of the script wait for a request."""
        return len(self._script)

    def add_to_script(self, steps: tuple[Fault, ...]) -> None:
        """Say what happens to the next requests, one fault each."""
        check_faults(steps)
        if len(self._script) + len(steps) > MOST_STEPS:
            raise ValueError(f"at most {MOST_STEPS:,} faults can wait in the script")
        self._script.extend(steps)

    def add_rule(self, rule: Rule) -> None:
        """Add a rule; the newest wins, and replaces one for the same requests."""
        rest = [old for old in self._rules if old.matcher != rule.matcher]
        if len(rest) >= MOST_RULES:
            raise ValueError(f"there can be at most {MOST_RULES:,} rules")
        # A new list, because a request may be walking through the old one.
        self._rules = [rule, *rest]

    def set_chaos(self, share: float, choices: tuple[Fault, ...]) -> None:
        """Let one of the faults happen to this share of all requests, from 0 to 1."""
        if type(share) not in (int, float) or not 0 <= share <= 1:
            raise ValueError(f"share must be from 0 to 1, not {share!r}")
        if not choices:
            raise ValueError("chaos needs at least one fault")
        check_faults(choices)
        self._chaos = (share, choices)

    def models(self) -> list[str]:
        """Return the models that rules speak of, the oldest rule first."""
        named = [rule.model for rule in self._rules if rule.model is not None]
        return named[::-1]

    def rule_for(self, method: str, path: str, body: Any) -> Rule:
        """Return the newest rule that matches a request; if there is none, an empty
        one.
        """
        for rule in self._rules:
            if rule.matches(method, path, body):
                return rule
        return NO_RULE

    def choose(self, call: Call, rule: Rule) -> tuple[Fault, str]:
        """Return the fault for a call and who asked for it: script before rule before
        chaos.
        """
        if self._script:
            return self._script.popleft(), "script"
        if rule.fault:
            return rule.fault, "rule"
        share, choices = self._chaos
        if share:
            dice = random.Random(f"{self.seed} {call.identity} {call.attempt}")
            if dice.random() < share:
                return dice.choice(choices), "chaos"
        return NO_FAULT, ""


def check_faults(steps: tuple[Any, ...]) -> None:
    """Raise TypeError if one of them is no fault."""
    for step in steps:
        if not isinstance(step, Fault):
            raise TypeError(f"expected a fault such as fault.status(503), not {step!r}")


def check_seconds(name: str, value: Any) -> None:
    """Raise ValueError if value is not a number of seconds."""
    if not is_seconds(value):
        raise ValueError(
            f"{name} must be a number of seconds, 0 or more, not {value!r}"
        )
