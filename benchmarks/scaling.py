"""Estimates data-parallel training on GPUs; `benchmarks/scaling.md` has the table.

    python -m benchmarks.scaling

The estimate uses counted FLOPs of a step, counted bytes of gradients, and assumed figures of a GPU
and its links. Nothing here was measured on a GPU.
"""

from dataclasses import dataclass
from math import ceil, log2

from benchmarks.floor import BATCH, FLOAT_BYTES, SIDES, paper_shape, step_work, weight_count

GPUS = (8, 64, 512)
EFFICIENCY = 0.9


@dataclass(frozen=True)
class Assumed:
    """An H100-class GPU and its links.

    Attributes:
        flops: what these convolutions reach in bfloat16, a tenth of the peak.
        launches: seconds that a step takes however small its batch, of some 800 kernels.
        inside: bytes/s of a ring within a node of 8.
        between: bytes/s of a ring over nodes, a 400 Gbit/s card for each GPU, at 80%.
        hop: seconds of latency of one message.
    """

    flops: float = 1e14
    launches: float = 6e-3
    inside: float = 3e11
    between: float = 4e10
    hop: float = 1e-5

    def step(self, flops: float) -> float:
        """Return the seconds of a step of so many FLOPs."""
        return max(self.launches, flops / self.flops)

    def all_reduce(self, gradient_bytes: float, gpus: int) -> float:
        """Return the seconds of an all-reduce, none of it hidden behind the backward pass."""
        link = self.inside if gpus <= 8 else self.between
        transfer = 2 * (gpus - 1) / gpus * gradient_bytes / link
        return transfer + 2 * ceil(log2(gpus)) * self.hop

    def smallest_batch(self, flops_per_patch: float, gradient_bytes: float, gpus: int) -> int:
        """Return the patches for each GPU from which computing is `EFFICIENCY` of a step."""
        needed = EFFICIENCY / (1 - EFFICIENCY) * self.all_reduce(gradient_bytes, gpus)
        return 1 if needed <= self.launches else ceil(needed * self.flops / flops_per_patch)


def main() -> None:
    """Print the table."""
    assumed = Assumed()
    print("| patch | gradients | GPUs | all-reduce | efficiency at 64 each | 0.9 from |")
    print("|---|---|---|---|---|---|")
    for side in SIDES:
        shape = paper_shape(side)
        per_patch = step_work(shape, BATCH).flops / BATCH
        sent = FLOAT_BYTES * weight_count(shape)
        for gpus in GPUS:
            wait = assumed.all_reduce(sent, gpus)
            computing = assumed.step(BATCH * per_patch)
            share = computing / (computing + wait)
            each = assumed.smallest_batch(per_patch, sent, gpus)
            print(f"| {side} px | {sent / 1e6:.0f} MB | {gpus} | {wait * 1e3:.2f} ms ", end="")
            batch = "any batch" if each == 1 else f"{each} each, {each * gpus} in all"
            print(f"| {share:.2f} | {batch} |")


if __name__ == "__main__":
    main()
