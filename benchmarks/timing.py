"""Times rivals in turns in one process, so that other load on the machine affects all of them."""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch

WARM_UP = 2

Clock = Callable[[], float]
wall_time: Clock = time.perf_counter
cpu_time: Clock = time.process_time  # not stretched by others at work; for one thread


@dataclass(frozen=True)
class Timing:
    """Seconds of one rival over the rounds: the median, and the ends of the middle half."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median * 1e3:.0f} ms ({self.low * 1e3:.0f} to {self.high * 1e3:.0f})"


@dataclass(frozen=True)
class Row:
    """One line of `make bench`: the comparison, its figures, and the bar."""

    name: str
    value: float
    bar: float
    detail: str

    @classmethod
    def ratio(cls, name: str, textbook: Timing, ours: Timing, bar: float, floor: float) -> "Row":
        """Return the speed as a multiple of the textbook's, and the distance to the floor."""
        detail = f"textbook {textbook}, ours {ours}, floor {floor * 1e3:.0f} ms"
        return cls(name, textbook.median / ours.median, bar, detail)


def print_rows(rows: list[Row]) -> None:
    """Print a line for each row."""
    for row in rows:
        verdict = "met" if row.value >= row.bar else "not met"
        verdict = f"bar {row.bar:.2f} {verdict}"
        print(f"{row.name:<34} {row.value:6.2f}  {verdict:<17} {row.detail}", flush=True)


def alternate(
    rivals: dict[str, Callable[[], object]], rounds: int, clock: Clock = wall_time
) -> dict[str, Timing]:
    """Time each rival once a round, in turn, after warming all of them up."""
    for rival in rivals.values():
        for _ in range(WARM_UP):
            rival()
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, rival in rivals.items():
            seconds[name].append(seconds_of(rival, clock))
    return {name: summary(values) for name, values in seconds.items()}


def seconds_of(action: Callable[[], object], clock: Clock) -> float:
    """Return the seconds that an action takes by a clock."""
    started = clock()
    action()
    return clock() - started


def parse_arguments(description: str, **more: Sequence[str]) -> argparse.Namespace:
    """Read rounds, threads and clock from the command line, and a choice for each of `more`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", dest="clock", action="store_const", const=cpu_time)
    parser.set_defaults(clock=wall_time)
    for name, choices in more.items():
        parser.add_argument(f"--{name}", choices=choices, default=choices[0])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    return arguments


def summary(seconds: list[float]) -> Timing:
    """Return the median and the middle half of some seconds."""
    ordered = sorted(seconds)
    quarter = len(ordered) // 4
    return Timing(median(ordered), ordered[quarter], ordered[-1 - quarter])
