"""What a sweep found, on disk, and which settings the training takes from it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.files import write_json, write_table
from pipeline.models.skip_ganomaly.settings import LossSettings
from pipeline.settings import SWEEP, TrainBlock

BEST = "best.json"
TRIALS = "trials.csv"
LOSS_NAMES = ("lambda_adv", "lambda_con", "lambda_lat", "latent_dim")
COLUMNS = (*LOSS_NAMES, "objective", "epochs")


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found: the best settings, their objective, and a row per trial, best first."""

    best: LossSettings
    value: float
    trials: list[dict[str, Any]]


def write_sweep(
    folder: Path, result: SweepResult | None, objective: str, run_id: str | None
) -> None:
    """Write best.json and trials.csv; `result` is None where the parameters ask for no sweep."""
    write_table(folder / TRIALS, COLUMNS, result.trials if result else [])
    content = {
        "settings": asdict(result.best) if result else None,
        "objective": objective,
        "value": result.value if result else None,
        "trials": len(result.trials) if result else 0,
        "run_id": run_id,
    }
    write_json(folder / BEST, content)


def read_best(folder: Path) -> dict[str, Any]:
    """What `write_sweep` wrote to best.json.

    Raises:
        InputError: there is none.
    """
    try:
        content: dict[str, Any] = json.loads((folder / BEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder / BEST}: no such file: run `dvc repro tune`") from None
    return content


def choose_losses(block: TrainBlock, best: dict[str, Any]) -> LossSettings:
    """Each setting as the `train` block has it, or from the sweep where it says ``sweep``.

    Raises:
        InputError: a setting says ``sweep`` and there was none.
    """
    chosen = {}
    for name in LOSS_NAMES:
        value = getattr(block, name)
        if value == SWEEP and best["settings"] is None:
            raise InputError(
                f"params.yaml: train.{name}: it says sweep, but tune.trials is 0: "
                "give it a number, or tune.trials 1 or more"
            )
        chosen[name] = best["settings"][name] if value == SWEEP else value
    return LossSettings(**chosen)
