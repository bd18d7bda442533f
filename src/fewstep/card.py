"""What an audit found: a card of checks, for the terminal, the log and the report."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Verdict = Literal["ok", "note", "wrong", "leak"]


class Check(NamedTuple):
    """One thing measured, in a sentence."""

    name: str
    verdict: Verdict
    finding: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """The findings; `order` is the measured derivative order, None where it is neither or cannot be told."""

    order: Literal[1, 2] | None
    checks: list[Check]

    @property
    def passed(self) -> bool:
        """Whether nothing leaks and the gradient is what it claims to be."""
        return all(check.verdict in ("ok", "note") for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        return {"order": self.order, "checks": [check._asdict() for check in self.checks]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Card":
        """The card that `as_json` wrote."""
        return cls(order=values["order"], checks=[Check(**check) for check in values["checks"]])

    def __str__(self) -> str:
        """A line a check."""
        width = max(len(check.name) for check in self.checks)
        return "\n".join(f"{c.verdict.upper():5}  {c.name:{width}}  {c.finding}" for c in self.checks)
