"""Data-parallel training on two Ray nodes of 1 CPU against one: patches a second, as a ratio.

    python -m benchmarks.nodes [--ngf 32] [--epochs 4]

Runs the stage `train` of a small project with generated scans, on a Ray cluster on this machine,
with a worker on each node and batches of 64 for each worker. Measures the epochs without their
validation, except the first epoch.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.floor import BATCH
from faults.project import RESULTS, WITHOUT_TOKEN, Project, cluster
from pipeline.common.files import read_numbers


def epoch_seconds(project: Project, nodes: int, epochs: int) -> float:
    """Return the median seconds of an epoch with a worker on each of `nodes` nodes."""
    project.clean("train")
    project.change("train", workers=nodes, epochs=epochs)
    project.change("model", batch_size=BATCH * nodes)
    with cluster(project, nodes) as (address, _):
        project.must(sys.executable, "-m", "stages", "train", RAY_ADDRESS=address, **WITHOUT_TOKEN)
    history = read_numbers(project.folder / RESULTS["train"] / "history.csv")
    if {epoch["workers"] for epoch in history} != {nodes}:
        raise RuntimeError(f"not all epochs were trained by {nodes} workers")
    return median(epoch["seconds"] for epoch in history[1:])


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description="training on two nodes against one")
    parser.add_argument("--ngf", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Project.make(Path(folder) / "skipscan")
        try:
            project.change("model", ngf=arguments.ngf, ndf=arguments.ngf)
            one, two = (epoch_seconds(project, nodes, arguments.epochs) for nodes in (1, 2))
        finally:
            project.close()
    print(f"an epoch on one node {one:.1f} s, on two {two:.1f} s: {one / two:.2f} times as fast")


if __name__ == "__main__":
    main()
