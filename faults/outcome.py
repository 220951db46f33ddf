"""The outcomes of tried faults, in a file that a campaign adds to, and the table of them."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

TRIES = 4  # for each time that a fault has to hit work in progress
HEADER = """| fault | what must hold | tried | hit nothing | losses | seconds each |
|---|---|---|---|---|---|"""


@dataclass
class Outcome:
    """The outcome of one try of a fault.

    Attributes:
        hit: whether the fault hit work in progress; other tries are made again.
        wrong: what did not hold; one of them is a loss.
        load: the machine's load average at the end: processes that run or wait for a core.
    """

    fault: str
    number: int
    hit: bool = False
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    load: float | None = None

    def check(self, holds: bool, problem: str) -> bool:
        """Note the problem if `holds` is False; return `holds`."""
        if not holds:
            self.wrong.append(problem)
        return holds


@dataclass(frozen=True)
class FaultKind:
    """A kind of fault: its name, what must hold, how often it has to hit, and seconds a try."""

    name: str
    holds: str
    times: int
    seconds: float


class Outcomes:
    """The outcomes in a file of JSON lines; each is on the disk before the next fault is tried."""

    def __init__(self, file: Path) -> None:
        self.file = file
        # The last line of a campaign that was killed may be incomplete.
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            file.write_text(whole, encoding="utf-8")
        self.found = [Outcome(**json.loads(line)) for line in whole.splitlines()]

    def add(self, outcome: Outcome) -> None:
        """Add a line to the file."""
        self.found.append(outcome)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")

    def of(self, kind: FaultKind) -> list[Outcome]:
        """Return the outcomes of one kind, in their order."""
        return [outcome for outcome in self.found if outcome.fault == kind.name]

    def left(self, kind: FaultKind) -> int:
        """Return how many hits of a fault are left; 0 as well after too many tries."""
        tried = self.of(kind)
        hits = sum(outcome.hit for outcome in tried)
        return max(0, kind.times - hits) if len(tried) < TRIES * kind.times else 0

    def seconds_left(self, kinds: Sequence[FaultKind]) -> float:
        """Return the seconds that the remaining hits take, by the mean of earlier ones."""
        return sum(self.left(kind) * self.seconds(kind) for kind in kinds)

    def seconds(self, kind: FaultKind) -> float:
        """Return the mean seconds of a try that hit, or the estimate if none did."""
        hits = [outcome.seconds for outcome in self.of(kind) if outcome.hit]
        return sum(hits) / len(hits) if hits else kind.seconds

    def table(self, kinds: Sequence[FaultKind]) -> str:
        """Return a table in Markdown, with the losses below it."""
        rows = [self.row(kind) for kind in kinds]
        hits = sum(outcome.hit for outcome in self.found)
        losses = [outcome for outcome in self.found if outcome.wrong]
        minutes = sum(outcome.seconds for outcome in self.found) / 60
        total = f"{hits} faults hit work in progress, {len(losses)} losses, {minutes:.0f} minutes."
        loads = [outcome.load for outcome in self.found if outcome.load is not None]
        if loads:
            total += f" The load average was {min(loads)} to {max(loads)}."
        left = sum(self.left(kind) for kind in kinds)
        if left:
            total += f" The campaign is not through; faults left: {left}."
        lost = [f"- {o.fault}, number {o.number}: {'; '.join(o.wrong)}" for o in losses]
        return "\n".join([HEADER, *rows, "", total, *lost]) + "\n"

    def row(self, kind: FaultKind) -> str:
        """Return the row of one kind."""
        tried = self.of(kind)
        hits = sum(outcome.hit for outcome in tried)
        losses = sum(bool(outcome.wrong) for outcome in tried)
        notes = Counter(note for outcome in tried for note in outcome.notes)
        said = "".join(f"; {count} {note}" for note, count in sorted(notes.items()))
        return (
            f"| {kind.name} | {kind.holds}{said} | {hits} of {kind.times} | {len(tried) - hits} | "
            f"{losses} | {f'{self.seconds(kind):.0f}' if hits else ''} |"
        )
