"""Lesson 09: what a call costs, in whole micro-dollars, and a budget that is kept.

A micro-dollar is a millionth of a dollar. Whole numbers add up exactly; floats do not.
"""

from typing import NamedTuple


class Price(NamedTuple):
    """Micro-dollars for 1,000 tokens; when the price was read, and where."""

    input: int
    output: int
    read_on: str
    source: str


PRICES = {
    "gpt-4o-mini": Price(150, 600, "2026-07-05", "openai.com/api/pricing"),
    "claude-haiku-4-5": Price(1000, 5000, "2026-07-05", "anthropic.com/pricing"),
}


class BudgetExceededError(Exception):
    """The next call might cost more than is left of the budget; it was not sent."""


def find_price(model: str, prices: dict[str, Price]) -> Price:
    """Return the price of a model. Raises ValueError if nobody wrote one down."""
    if model not in prices:
        known = ", ".join(prices)
        raise ValueError(f"no price for the model {model!r}; there is one for: {known}")
    return prices[model]


def cost_of(price: Price, input_tokens: int, output_tokens: int) -> int:
    """Return what tokens cost in micro-dollars, rounded up."""
    thousandths = input_tokens * price.input + output_tokens * price.output
    return -(-thousandths // 1000)


def most_cost(price: Price, prompt: str, max_tokens: int) -> int:
    """Return the most that a call can cost, in micro-dollars, before it is made.

    A token is at least one byte; 20 more are for what a service puts around a prompt.
    """
    return cost_of(price, len(prompt.encode()) + 20, max_tokens)


def dollars(amount: int) -> str:
    """Return micro-dollars as a person writes them: 1234567 is $1.234567."""
    return f"${amount // 1_000_000}.{amount % 1_000_000:06}"


class CostTracker:
    """A budget in micro-dollars for all calls of a store; None for no budget.

    The store keeps what was spent, so the budget holds for all processes, and after a
    restart. Raises ValueError for anything but an amount.
    """

    def __init__(self, store, budget: int | None = None) -> None:
        if budget is not None and (type(budget) is not int or budget < 0):
            raise ValueError(f"budget: whole micro-dollars, 0 or more, not {budget!r}")
        self.store, self.budget = store, budget

    @property
    def spent(self) -> int:
        """What finished calls have cost, and open ones may cost, in micro-dollars."""
        return self.store.spent()

    def reserve(self, job, provider: str, most: int) -> None:
        """Keep so much for a call that is about to be sent.

        Raises BudgetExceededError if the budget does not have it; then nothing changed.
        """
        if not self.store.reserve(job, provider, most, self.budget):
            raise BudgetExceededError(
                f"the budget of {dollars(self.budget)} has {dollars(self.spent)} spent"
                f" or kept for open calls, and the next call may cost {dollars(most)}"
            )
