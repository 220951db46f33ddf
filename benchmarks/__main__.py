"""Prints every figure that has a bar, one per line: `make bench`.

python -m benchmarks [--rounds 5] [--threads 2] [--cpu-time]
"""

from benchmarks import ddp, epoch, floor, score, sweep, timing, train_step


def main() -> None:
    """Print the rows as they are found."""
    given = timing.arguments("every figure that has a bar")
    floor.print_floors(given.clock)
    for precision in ("float32", "bfloat16"):
        settings = train_step.model_settings(floor.WIDTH, precision)
        timing.print_rows(train_step.measure(given.rounds, settings, given.clock))
    timing.print_rows(score.measure(given.rounds, given.clock))
    timing.print_rows(epoch.measure(given.rounds, given.clock))
    timing.print_rows(ddp.measure(given.rounds))
    timing.print_rows(sweep.measure())


if __name__ == "__main__":
    main()
