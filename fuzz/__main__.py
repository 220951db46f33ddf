"""Damages valid files and gives them to the product's readers; prints a line for each reader.

    python -m fuzz [--targets image,coco] [--minutes 10] [--seed 0]

Inputs on which a reader fails are kept in work/fuzz. The exit status is 1 if there are any.
"""

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from fuzz.mutations import damaged
from fuzz.target import Target
from fuzz.targets import TARGETS
from fuzz.worker import Worker

KEPT = Path("work/fuzz")
ROUND = 1000  # inputs that hypothesis draws from one seed


@dataclass
class Report:
    """The results of a target's inputs.

    Attributes:
        counts: inputs that were read, and that were refused.
        faults: for each fault, its number and its shortest input.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def add(self, content: bytes, refused: bool, fault: str | None) -> None:
        """Count an input."""
        self.counts["refused" if refused else "read"] += fault is None
        if fault:
            number, shortest = self.faults.get(fault, (0, content))
            self.faults[fault] = (number + 1, min(shortest, content, key=len))


def main() -> int:
    """Try the targets one after another; return 1 if a reader failed."""
    parser = argparse.ArgumentParser(description="damaged files for the readers")
    parser.add_argument("--targets", default=",".join(TARGETS), help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=10, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    names = arguments.targets.split(",")
    if unknown := sorted(set(names) - set(TARGETS)):
        parser.error(f"--targets: got {', '.join(unknown)}, expected some of {', '.join(TARGETS)}")
    failed = 0
    for name in names:
        found = fuzz(TARGETS[name], 60 * arguments.minutes, arguments.seed)
        tried = found.counts.total() + sum(number for number, _ in found.faults.values())
        print(
            f"{name}: {tried:,} inputs: {found.counts['read']:,} read, "
            f"{found.counts['refused']:,} refused, {len(found.faults)} faults",
            flush=True,
        )
        for index, (fault, (number, content)) in enumerate(sorted(found.faults.items())):
            KEPT.mkdir(parents=True, exist_ok=True)
            path = KEPT / f"{name}-{index}"
            path.write_bytes(content)
            print(f"  {fault}: {number} times, such as {path} ({len(content)} bytes)", flush=True)
        failed += len(found.faults)
    return int(failed > 0)


def fuzz(target: Target, seconds: float, first_seed: int = 0) -> Report:
    """Try inputs for some seconds; the same seed draws the same inputs."""
    report, valid = Report(), target.valid()
    with Worker(target) as worker:
        worker.run(valid[0])  # its process has started, which takes seconds
        end = time.monotonic() + seconds
        while time.monotonic() < end:

            @seed(first_seed)
            @settings(
                max_examples=ROUND,
                phases=[Phase.generate],
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.quiet,
            )
            @given(damaged(target, valid))
            def try_round(content: bytes) -> None:
                if time.monotonic() < end:
                    report.add(content, *worker.run(content))

            try_round()
            first_seed += 1
    return report


if __name__ == "__main__":
    sys.exit(main())
