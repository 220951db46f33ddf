"""Logs the results on disk to their MLflow run: `python -m stages track`, and after `evaluate`.

It logs only the missing parts, so run it again when a failed store works again.
"""

import json

from pipeline.common.files import read_numbers
from pipeline.common.names import TRAIN
from pipeline.evaluation.evaluate import flat_metrics
from pipeline.evaluation.report import METRICS
from pipeline.models.detector import ScoringModule, TrainedModel
from pipeline.patches.store import PatchStore
from pipeline.settings.params import Settings, load_settings
from pipeline.sweeps.results import log_trial, read_best, read_trials
from pipeline.tracking.runs import SWEEP_TAG, complete, pipeline_run, tag_best, trial_run_name
from pipeline.tracking.tracked_run import TrackedRun
from pipeline.tracking.tracker import Tracker, closing_runs
from stages.entry import EVALUATED, HISTORY, MODEL, PATCHES, SWEEP, TRAINED


@closing_runs()
def main() -> None:
    """Log the missing parts of the results on disk."""
    track(load_settings())


def track(settings: Settings) -> None:
    """Log the missing results to the pipeline's run, also of an earlier training, and close it."""
    model = TrainedModel.load(TRAINED / MODEL)
    data = model.provenance["data"]
    run = pipeline_run(Tracker.open(), settings, data)
    run.log_dataset(settings.scans.source, str(PATCHES), data)
    run.log_params(model.provenance["settings"])
    run.log_missing_history(read_numbers(TRAINED / HISTORY))
    metrics = json.loads((EVALUATED / METRICS).read_text(encoding="utf-8"))
    run.log_metrics(flat_metrics(metrics))
    run.set_tags(track_sweep(run))
    run.log_folder(EVALUATED, "evaluation")
    module = ScoringModule(model)
    if module.scorer.exportable:
        # The example is from the training part, because the test part may be empty.
        run.log_model(module, PatchStore(PATCHES, TRAIN).read(0, 2))
    else:
        run.log_file(TRAINED / MODEL, "weights")
    complete(run)


def track_sweep(parent: TrackedRun) -> dict[str, str]:
    """Log the sweep if it was not logged; return tags with its run's id and its objective."""
    best = read_best(SWEEP)
    sweep_run = best["run_id"]
    if sweep_run is None and best["trials"]:
        sweep = parent.child("sweep")
        log_sweep(sweep, best["value"])
        sweep_run = sweep.id
    return {SWEEP_TAG: sweep_run or "none", "objective": best["objective"]}


def log_sweep(run: TrackedRun, objective: float) -> None:
    """Log the sweep on disk to `run`, and its trials to runs nested in `run`."""
    run.log_metrics({"objective": objective})
    trials = read_trials(SWEEP)
    for trial in trials:
        log_trial(run, trial)
    tag_best(run, trial_run_name(trials[0].trial))
    run.log_folder(SWEEP, "sweep")
    run.finish()
