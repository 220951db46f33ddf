"""torch's compiler, for functions that also run without it."""

from collections.abc import Callable
from functools import lru_cache
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")

_failed: list[str] = []  # why the compiler failed in this process


@lru_cache
def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function, compiled at its first call with arguments of a shape.

    Where the compiler is missing or fails, that is said once in a process, which then computes
    without it. Nothing has been computed by then, since the function is compiled as a whole.
    """
    whole = torch.compile(function, fullgraph=True, dynamic=False)

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if _failed:
            return function(*args, **kwargs)
        # What dynamo and inductor raise; importing them takes seconds, which only this costs.
        from torch._dynamo import config  # noqa: PLC0415
        from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415

        try:
            with config.patch(trace_autograd_ops=True):
                return whole(*args, **kwargs)
        except TorchDynamoException as error:
            _failed.append(_reason(error))
            print(f"model.compile: computing without the compiler: {_failed[0]}", flush=True)
            return function(*args, **kwargs)

    return call


def _reason(error: Exception) -> str:
    """The line of an error that says most, cut where it is long."""
    inner = getattr(error, "inner_exception", error)
    lines = [line.strip() for line in str(inner).splitlines() if line.strip()]
    return f"{type(inner).__name__}: {lines[0] if lines else ''}"[:200]
