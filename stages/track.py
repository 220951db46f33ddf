"""Logs the results on disk to their MLflow run: `python -m stages track`, and after `evaluate`.

It logs the results with the parameters that `evaluate` recorded, even if params.yaml has changed
since. It logs only what is missing: run it again when a failed store works.
"""

from dataclasses import asdict

from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.common.files import digest, file_digest, read_json, read_numbers, write_json
from pipeline.common.names import TRAIN
from pipeline.evaluation.report import DETAILS, FIGURES, METRICS, describe_results
from pipeline.models.trained_model import TrainedModel
from pipeline.patches.store import PatchStore
from pipeline.serving.contents import model_contents
from pipeline.settings.params import Settings
from pipeline.sweeps.log_trials import log_trial
from pipeline.sweeps.results import read_best, read_trials
from pipeline.tracking.runs import (
    LABELLED_TAG,
    SWEEP_TAG,
    Origin,
    chosen_params,
    complete,
    completed_run,
    flat_metrics,
    pipeline_run,
    tag_best,
    trial_run_name,
)
from pipeline.tracking.tracked_run import NOTE_TAG, TrackedRun
from pipeline.tracking.tracker import Tracker, closing_runs
from stages.entry import EVALUATED, HISTORY, MODEL, PATCHES, SWEEP, TRAINED

RECORD = "made_from.json"


@closing_runs()
def main() -> None:
    """Log those results on disk that MLflow lacks."""
    track()


def write_record(settings: Settings, model: TrainedModel) -> None:
    """Write the parameters, data and results of this evaluation to `RECORD`, for `track`."""
    origin = Origin.now(settings, model.provenance["data"])
    write_json(EVALUATED / RECORD, {"origin": asdict(origin), "results": results_digest()})


def results_digest() -> str:
    """Return the digest of the model and of its evaluation that are on disk."""
    return digest([file_digest(path) for path in (TRAINED / MODEL, EVALUATED / DETAILS)])


def read_record() -> Origin:
    """Read the parameters and the data of the evaluation on disk from `RECORD`.

    Raises:
        InputError: the record is missing, or is of other results than those on disk.
    """
    path, redo = EVALUATED / RECORD, "run `dvc repro -fs evaluate`"  # DVC does not know the record
    try:
        record = read_json(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: {redo}") from None
    if record.get("results") != results_digest():
        raise InputError(f"{path}: of other results than those on disk: {redo}")
    return Origin(**record["origin"])


def track() -> None:
    """Log all results on disk that the pipeline's MLflow run lacks, then close the run."""
    model, origin, results = TrainedModel.load(TRAINED / MODEL), read_record(), results_digest()
    tracker = Tracker.open()
    if name := completed_run(tracker, origin, results):
        print(f"MLflow has these results already, in the run {name}", file=terminal.out())
        return
    run = pipeline_run(tracker, origin)
    run.log_dataset(origin.parameters["scans"]["source"], str(PATCHES), origin.data)
    run.log_params(chosen_params(model.provenance["settings"]))
    run.log_missing_history(read_numbers(TRAINED / HISTORY))
    metrics = read_json(EVALUATED / METRICS)
    measured = flat_metrics(metrics)
    run.log_metrics(measured)
    labelled_bags = model.provenance["labelled_bags"]
    objective = read_best(SWEEP).ranked_by
    text = describe_results(origin.parameters, origin.data, metrics, labelled_bags, objective)
    tags = {LABELLED_TAG: str(labelled_bags), NOTE_TAG: text}
    run.set_tags({**track_sweep(tracker, run), **tags})
    run.log_folder(EVALUATED, "evaluation")
    run.log_folder(EVALUATED / FIGURES, None)  # the comparison of runs shows only these
    # The example is from the training split, because the test split may be empty.
    (window,) = PatchStore(PATCHES, TRAIN).read(0, 1)
    contents = model_contents(TRAINED / MODEL, window)
    name = f"skipscan-{model.settings.method}-{origin.parameters['scans']['source']}"
    run.log_model(name, measured, contents)
    complete(run, results)


def track_sweep(tracker: Tracker, parent: TrackedRun) -> dict[str, str]:
    """Log the parts of the sweep that the store lacks; return tags with its run and objective."""
    best = read_best(SWEEP)
    sweep_run = best.run_id
    if best.trials and not tracker.has_finished(sweep_run):
        sweep = parent.child("sweep")
        log_sweep(sweep, best.value)
        sweep_run = sweep.id
    return {SWEEP_TAG: sweep_run or "none", "objective": best.objective}


def log_sweep(run: TrackedRun, objective: float | None) -> None:
    """Log the sweep on disk to `run`, and its trials to runs nested in `run`."""
    run.log_metrics({"objective": objective})
    trials = read_trials(SWEEP)
    for trial in trials:
        log_trial(run, trial)
    tag_best(run, trial_run_name(trials[0].trial))
    run.log_folder(SWEEP, "sweep")
    run.finish()
