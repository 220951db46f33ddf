"""What workers ask of a cluster's nodes, and how many of them there may be."""

from dataclasses import dataclass
from typing import ClassVar

from pipeline.common.errors import require


@dataclass(frozen=True)
class WorkerResources:
    """What each worker asks of the node that it runs on; part of the blocks `tune` and `train`.

    Attributes:
        cpus: of its node's, a fraction of one too.
        gpus: of its node's: none, one, or a share of one.
    """

    cpus: float
    gpus: float

    def __post_init__(self) -> None:
        require(0 < self.cpus < float("inf"), "cpus", self.cpus, "more than 0")
        right = 0 <= self.gpus <= 1
        require(right, "gpus", self.gpus, "0 to 1, since a worker computes on one at most")

    @property
    def each(self) -> dict[str, float]:
        """What a worker asks, by Ray's names of it."""
        return {"CPU": self.cpus, "GPU": self.gpus}


@dataclass(frozen=True)
class WorkerRange:
    """As many workers as there is room for, from `min` to `max`; their number may change."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    min: int
    max: int

    def __post_init__(self) -> None:
        require(1 <= self.min < self.max, "min", self.min, f"from 1 to below max, {self.max}")

    @property
    def counts(self) -> range:
        """Every number of workers that there may be."""
        return range(self.min, self.max + 1)
