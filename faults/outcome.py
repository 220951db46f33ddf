"""The outcome of one kind of fault, as a line of the table."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """How often a fault was tried, and what did not hold."""

    fault: str
    holds: str
    tried: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def check(self, holds: bool, what: str) -> bool:
        """Count what does not hold."""
        if not holds:
            self.wrong[what] += 1
        return holds

    @property
    def line(self) -> str:
        """One line for people."""
        said = "held" if not self.wrong else "DID NOT HOLD: " + _counts(self.wrong)
        noted = f" ({_counts(self.notes)})" if self.notes else ""
        return f"{self.fault:42} {self.tried:3} times  {said}: {self.holds}{noted}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counter.items())
