"""Every figure that has a bar, a line each: `make bench`.

python -m benchmarks [--rounds 5] [--threads 2]
"""

import argparse

import torch

from benchmarks import ddp, epoch, floor, score, timing, train_step


def main() -> None:
    """Print the rows as they are found."""
    parser = argparse.ArgumentParser(description="every figure that has a bar")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    floor.main()
    timing.print_rows(train_step.measure(arguments.rounds))
    timing.print_rows(train_step.measure(arguments.rounds, "bfloat16"))
    timing.print_rows(score.measure(arguments.rounds))
    timing.print_rows(epoch.measure(arguments.rounds))
    timing.print_rows(ddp.measure(arguments.rounds))


if __name__ == "__main__":
    main()
