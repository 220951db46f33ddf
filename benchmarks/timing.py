"""Timing by alternation: rivals take turns in one process, so that a busy machine meets all."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

WARM_UP = 2


@dataclass(frozen=True)
class Timing:
    """Seconds of one rival over the rounds: the median, and the middle half's ends."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median * 1e3:.0f} ms ({self.low * 1e3:.0f} to {self.high * 1e3:.0f})"


def alternate(rivals: dict[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Time each rival once a round, in turn, after warming all of them up."""
    for rival in rivals.values():
        for _ in range(WARM_UP):
            rival()
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, rival in rivals.items():
            started = time.perf_counter()
            rival()
            seconds[name].append(time.perf_counter() - started)
    return {name: _summary(sorted(values)) for name, values in seconds.items()}


def _summary(values: list[float]) -> Timing:
    quarter = len(values) // 4
    return Timing(median(values), values[quarter], values[-1 - quarter])
