"""Prints the figures of training, scoring and sweeps beside their bars: `make bench`.

python -m benchmarks [--rounds 5] [--threads 2] [--cpu-time]
"""

from benchmarks import ddp, epoch, floor, granulometry, score, sweep, timing, train_step
from pipeline.models.precision import SLOW, bfloat16_slowdown
from pipeline.settings.model import Precision


def main() -> None:
    """Print the rows as they are found."""
    arguments = timing.parse_arguments("training, scoring and sweeps beside their bars")
    floor.print_floors(arguments.clock)
    slow = bfloat16_slowdown() > SLOW
    if slow:
        print("no rows of bfloat16, for which this processor has no instructions")
    precisions: list[Precision] = ["float32"] if slow else ["float32", "bfloat16"]
    for precision in precisions:
        settings = train_step.model_settings(floor.WIDTH, precision)
        timing.print_rows(train_step.measure(arguments.rounds, settings, arguments.clock))
    timing.print_rows(score.measure(arguments.rounds, arguments.clock))
    timing.print_rows(granulometry.measure(arguments.rounds, arguments.clock))
    timing.print_rows(epoch.measure(arguments.rounds, arguments.clock))
    timing.print_rows(ddp.measure(arguments.rounds))
    timing.print_rows(sweep.measure())


if __name__ == "__main__":
    main()
