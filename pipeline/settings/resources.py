"""The CPUs and GPUs that a worker reserves, and the allowed numbers of workers."""

from dataclasses import dataclass

from pipeline.common.errors import require
from pipeline.settings.checks import StrictBlock

MIN_SHARE = 0.0001  # of a CPU or GPU: the smallest share that Ray reserves


@dataclass(frozen=True)
class WorkerResources(StrictBlock):
    """CPUs and GPUs that each worker reserves on its node; part of the blocks `tune` and `train`.

    Attributes:
        cpus: number of CPUs, 0.0001 or more; fractions are allowed.
        gpus: share of one GPU, 0 or 0.0001 to 1.
    """

    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        right = MIN_SHARE <= self.cpus < float("inf")
        require(right, "cpus", self.cpus, f"{MIN_SHARE} or more")
        right = self.gpus == 0 or MIN_SHARE <= self.gpus <= 1
        require(right, "gpus", self.gpus, "0 to 1, since a worker computes on one at most")

    @property
    def ray_resources(self) -> dict[str, float]:
        """The resources of one worker, by Ray's names."""
        return {"CPU": self.cpus, "GPU": self.gpus}


@dataclass(frozen=True)
class WorkerRange(StrictBlock):
    """From `min` to `max` workers, as many as the cluster has room for (elastic training)."""

    min: int
    max: int

    def __post_init__(self) -> None:
        require(1 <= self.min < self.max, "min", self.min, f"from 1 to below max, {self.max}")

    @property
    def counts(self) -> range:
        """Every allowed number of workers."""
        return range(self.min, self.max + 1)


def require_divisible(batch_size: int, workers: int) -> None:
    """Refuse a batch that workers cannot share evenly, with two patches or more each."""
    fits = batch_size % workers == 0 and batch_size // workers >= 2
    expected = f"a multiple of {workers} workers, 2 or more each"
    require(fits, "model.batch_size", batch_size, expected)
