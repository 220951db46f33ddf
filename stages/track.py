"""Completes the MLflow run of the results on disk: `python -m stages track`, and after `evaluate`.

What is logged already is left, so it can be run again after a store that had failed is back.
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
from pipeline.tracking.tracker import UNLOGGED, Tracker, closing_runs
from stages.entry import EVALUATED, HISTORY, MODEL, PATCHES, SWEEP, TRAINED


@closing_runs()
def main() -> None:
    """Log what is missing of the results on disk."""
    track(load_settings())


def track(settings: Settings) -> None:
    """Complete the pipeline's run, also with what an earlier run trained, and close it."""
    model = TrainedModel.load(TRAINED / MODEL)
    data = model.provenance["data"]
    tracker = Tracker.open()
    run_id = pipeline_run(tracker, settings, data)
    tracker.log_dataset(run_id, settings.scans.source, str(PATCHES), data)
    tracker.log_params(run_id, model.provenance["settings"])
    tracker.log_missing_history(run_id, read_numbers(TRAINED / HISTORY))
    metrics = json.loads((EVALUATED / METRICS).read_text(encoding="utf-8"))
    tracker.log_metrics(run_id, flat_metrics(metrics))
    tracker.set_tags(run_id, track_sweep(tracker, run_id))
    tracker.log_folder(run_id, EVALUATED, "evaluation")
    module = ScoringModule(model)
    if module.scorer.exportable:
        # Of the training part: the test part may be empty.
        tracker.log_model(run_id, module, PatchStore(PATCHES, TRAIN).read(0, 2))
    else:
        tracker.log_file(run_id, TRAINED / MODEL, "weights")
    complete(tracker, run_id)


def track_sweep(tracker: Tracker, run_id: str) -> dict[str, str]:
    """Tags that name the sweep's run and objective; a sweep that was not logged is logged."""
    best = read_best(SWEEP)
    sweep_run = best["run_id"]
    if sweep_run == UNLOGGED:
        sweep_run = tracker.child_run(run_id, "sweep")
        tracker.log_metrics(sweep_run, {"objective": best["value"]})
        trials = read_trials(SWEEP)
        for trial in trials:
            log_trial(tracker, sweep_run, trial)
        tag_best(tracker, sweep_run, trial_run_name(trials[0].trial))
        tracker.log_folder(sweep_run, SWEEP, "sweep")
        tracker.finish(sweep_run)
    return {SWEEP_TAG: sweep_run or "none", "objective": best["objective"]}
