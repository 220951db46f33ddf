"""Writes and reads a sweep's results, and chooses the training's settings from them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.common.files import read_table, write_json, write_table
from pipeline.common.json_records import parse_record
from pipeline.models.interface import method_of
from pipeline.settings.blocks import FROM_METHOD, TrainBlock
from pipeline.settings.checks import StrictBlock
from pipeline.settings.model import LossSettings, ModelSettings
from pipeline.settings.search_space import LOSS_NAMES, Values, settings_of_trial

BEST = "best.json"
TRIALS = "trials.csv"
CURVES = "curves.csv"
COLUMNS = ("objective", "state", "epochs", "training_seconds", "started", "ended", "reason")

TrialState = Literal["finished", "stopped", "failed"]


@dataclass(frozen=True)
class TrialResult:
    """One trial of a sweep.

    Attributes:
        trial: Ray Tune's id of the trial; part of the name of its MLflow run.
        settings: the trial's value of each searched setting.
        objective: objective of the best epoch; None if the trial completed no epoch.
        state: ``finished`` all epochs, ``stopped`` early by the scheduler (by pbt: it took over the
            network of a trial that had finished), or ``failed``.
        epochs: number of completed epochs.
        training_seconds: seconds in training steps, a part of `ended` - `started`.
        started, ended: seconds since the sweep's first trial began; 0 if the trial completed no
            epoch.
        reason: why the trial failed, in one line; "" if it did not fail.
        curve: the metrics of each epoch.
    """

    trial: str
    settings: Values
    objective: float | None
    state: TrialState
    epochs: int
    training_seconds: float
    started: float
    ended: float
    reason: str = ""
    curve: Sequence[Mapping[str, float]] = ()


@dataclass(frozen=True)
class SweepResult:
    """All trials of a sweep, best first, failed trials last; the first one has an objective."""

    trials: Sequence[TrialResult]

    @property
    def best(self) -> Values:
        """The best trial's settings, by name."""
        return self.trials[0].settings

    @property
    def value(self) -> float:
        """The best objective."""
        value = self.trials[0].objective
        assert value is not None
        return value


def rank(trials: Sequence[TrialResult]) -> SweepResult:
    """Order the trials: best objective first, ties by settings, failed trials last.

    Raises:
        InputError: no trial completed an epoch without failing.
    """

    def key(trial: TrialResult) -> tuple[bool, float, list[float]]:
        useless = trial.state == "failed" or trial.objective is None
        return useless, -(trial.objective or 0.0), list(trial.settings.values())

    ordered = sorted(trials, key=key)
    if not ordered or key(ordered[0])[0]:
        reason = f": {ordered[0].reason}" if ordered else ""
        raise InputError(
            f"tune: every trial failed{reason}: narrow the ranges, or see "
            f"{terminal.log() or 'the log'}"
        )
    return SweepResult(ordered)


def require_enough(result: SweepResult, max_failed: float) -> None:
    """Refuse a sweep if more than the share `max_failed` (0 to 1) of its trials failed.

    Raises:
        InputError: too many trials failed; the message has the last failed trial's reason.
    """
    failed = [trial for trial in result.trials if trial.state == "failed"]
    if len(failed) / len(result.trials) > max_failed:
        raise InputError(
            f"tune: {len(failed)} of {len(result.trials)} trials failed, more than "
            f"tune.max_failed ({max_failed:g}) allows: {failed[-1].reason}: narrow the ranges, "
            "or raise tune.max_failed, which keeps the trials"
        )


def write_sweep(
    folder: Path, result: SweepResult | None, objective: str, run_id: str | None
) -> None:
    """Write best.json, trials.csv and curves.csv; `result` is None if there was no sweep.

    `run_id` is MLflow's id of the sweep's run; None if the sweep was not logged.
    """
    trials = result.trials if result else ()
    best = dict(result.best) if result else None
    columns = ["trial", *(best or {}), *COLUMNS]
    write_table(folder / TRIALS, columns, [_row(trial) for trial in trials])
    curves = [{"trial": trial.trial, **epoch} for trial in trials for epoch in trial.curve]
    write_table(folder / CURVES, list(curves[0]) if curves else ["trial"], curves)
    value = result.value if result else None
    write_json(folder / BEST, asdict(Best(best, objective, value, len(trials), run_id)))


def read_trials(folder: Path) -> list[TrialResult]:
    """Read the trials that `write_sweep` wrote to trials.csv and curves.csv, best trial first."""
    curves: dict[str, list[dict[str, str]]] = {}
    for row in read_table(folder / CURVES):
        curves.setdefault(row.pop("trial"), []).append(row)
    rows = [_fields(row, curves.get(row["trial"], [])) for row in read_table(folder / TRIALS)]
    return TypeAdapter(list[TrialResult]).validate_python(rows)


@dataclass(frozen=True)
class Best(StrictBlock):
    """The content of best.json: the best trial's settings and objective.

    Attributes:
        settings: settings of the best trial; None where there was no sweep.
        objective: the metric that was maximised.
        value: its highest value; None where there was no sweep.
        trials: number of trials.
        run_id: MLflow's id of the sweep's run; None where nothing was logged.
    """

    settings: dict[str, int | float] | None
    objective: str
    value: float | None
    trials: int
    run_id: str | None

    @property
    def ranked_by(self) -> str | None:
        """The objective, by which the trials are ranked; None where there was no sweep."""
        return self.objective if self.trials else None


def read_best(folder: Path) -> Best:
    """Read the best.json that `write_sweep` wrote.

    Raises:
        InputError: there is no best.json, or not one that `write_sweep` writes.
    """
    path = folder / BEST
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: run `dvc repro tune`") from None
    return parse_record(TypeAdapter(Best), content, str(path), "run `dvc repro -sf tune`")


def choose_settings(
    model: ModelSettings, block: TrainBlock, best: Best
) -> tuple[ModelSettings, LossSettings]:
    """Return the model settings and loss settings for the training.

    A setting of the `train` block is a number, ``sweep`` (the best trial's value) or ``method``
    (the loss weight of the method's paper). If any setting is ``sweep``, the best trial also gives
    the values of the `model` settings that the sweep searched.

    Raises:
        InputError: a setting is ``sweep``, but there was no sweep.
    """
    values = {name: getattr(block, name) for name in LOSS_NAMES}
    lambdas = method_of(model).lambdas
    for name, value in values.items():
        if value == FROM_METHOD:
            values[name] = lambdas.get(name, 0.0)
    from_sweep = block.from_sweep
    if not from_sweep:
        return settings_of_trial(values, model)
    if best.settings is None:
        raise InputError(
            f"params.yaml: train.{from_sweep[0]}: got 'sweep', but tune.trials is 0: "
            "give it a number, or tune.trials 1 or more"
        )
    numbers = {name: value for name, value in values.items() if name not in from_sweep}
    return settings_of_trial({**best.settings, **numbers}, model)


def _row(trial: TrialResult) -> dict[str, Any]:
    fields = asdict(trial)
    del fields["curve"]
    return {**fields.pop("settings"), **fields}


def _fields(row: dict[str, str], curve: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return the fields of the trial in a row of `_row`, as texts that pydantic converts."""
    names = ("trial", *COLUMNS)
    settings = {name: _number(value) for name, value in row.items() if name not in names}
    fields: dict[str, Any] = {name: row[name] for name in names}
    return fields | {"objective": row["objective"] or None, "settings": settings, "curve": curve}


def _number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)
