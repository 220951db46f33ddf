"""Trials and sweeps whose results are known, and a run that notes what is logged to it."""

from dataclasses import replace
from typing import Any

from pipeline.settings.search_space import Choices, Space
from pipeline.sweeps.results import SweepResult, TrialResult, TrialState, rank


def trial(
    objective: float | None, lambda_con: float = 40, state: TrialState = "finished", at: float = 0
) -> TrialResult:
    settings = {"lambda_adv": 1, "lambda_con": lambda_con, "lambda_lat": 1, "latent_dim": 10}
    reason = "loss_g is nan in epoch 1" if state == "failed" else ""
    return TrialResult(f"t{at:g}", settings, objective, state, 2, 6.0, at, at + 10, reason)


class NotingRun:
    """Notes what is logged to it and to its children."""

    id = "run"

    def __init__(self) -> None:
        self.told = list[Any]()

    def child(self, *given: Any) -> "NotingRun":
        self.told.append(("child", *given))
        return self

    def __getattr__(self, name: str) -> Any:
        return lambda *given: self.told.append((name, *given))


def grid() -> tuple[SweepResult, Space]:
    """Every combination of three and two choices; one trial failed."""
    fixed = Choices((1,))
    space: Space = {"lambda_adv": fixed, "lambda_con": Choices((4, 40, 400)), "lambda_lat": fixed,
                    "latent_dim": Choices((5, 10))}  # fmt: skip
    pairs = [(con, dim) for con in (4, 40, 400) for dim in (5, 10)]
    trials = [trial(0.5 + at / 16, con, at=at) for at, (con, _) in enumerate(pairs)]
    settings = [
        {**t.settings, "latent_dim": dim} for t, (_, dim) in zip(trials, pairs, strict=True)
    ]
    trials = [replace(t, settings=s) for t, s in zip(trials, settings, strict=True)]
    return rank([*trials[:-1], replace(trials[-1], state="failed")]), space
