"""When two states of a training are the same."""

from typing import Any

import torch


def same(left: Any, right: Any) -> bool:
    """Equal to the bit, whatever is nested in what; wall-clock seconds aside."""
    if isinstance(left, dict):
        keys = left.keys() - {"seconds"}
        return keys == right.keys() - {"seconds"} and all(same(left[k], right[k]) for k in keys)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else bool(left == right)
