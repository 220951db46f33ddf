"""The CPUs and GPUs that a worker reserves, and the allowed numbers of workers."""

from dataclasses import dataclass
from typing import ClassVar

from pipeline.common.errors import require


@dataclass(frozen=True)
class WorkerResources:
    """CPUs and GPUs that each worker reserves on its node; part of the blocks `tune` and `train`.

    Attributes:
        cpus: number of CPUs, more than 0; fractions are allowed.
        gpus: share of one GPU, 0 to 1.
    """

    cpus: float
    gpus: float

    def __post_init__(self) -> None:
        require(0 < self.cpus < float("inf"), "cpus", self.cpus, "more than 0")
        right = 0 <= self.gpus <= 1
        require(right, "gpus", self.gpus, "0 to 1, since a worker computes on one at most")

    @property
    def each(self) -> dict[str, float]:
        """The resources of one worker, by Ray's names."""
        return {"CPU": self.cpus, "GPU": self.gpus}


@dataclass(frozen=True)
class WorkerRange:
    """From `min` to `max` workers, as many as the cluster has room for; the number may change."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    min: int
    max: int

    def __post_init__(self) -> None:
        require(1 <= self.min < self.max, "min", self.min, f"from 1 to below max, {self.max}")

    @property
    def counts(self) -> range:
        """Every allowed number of workers."""
        return range(self.min, self.max + 1)
