"""Stage `train`: train data-parallel, keep the best epoch, calibrate its scores."""

from dataclasses import asdict

from pipeline.cluster.session import ray_session
from pipeline.cluster.storage import Storage
from pipeline.common import terminal
from pipeline.common.files import remove_unfinished, write_table
from pipeline.common.names import IGNORED_VALIDATION, LABELLED_TRAINING, TRAIN, VALIDATION
from pipeline.models.interface import method_of
from pipeline.models.trained_model import calibrated_model
from pipeline.patches.manifest import LABELLED_BAGS, read_manifest
from pipeline.patches.store import PatchStore
from pipeline.patches.upload import upload_patches
from pipeline.settings.methods import WITHOUT_NETWORKS
from pipeline.settings.params import load_settings
from pipeline.sweeps.results import choose_settings, read_best
from pipeline.tracking.runs import Origin, chosen_params, pipeline_run
from pipeline.tracking.tracker import Tracker, closing_runs
from pipeline.training.criterion import (
    IMPLANT_AUC,
    labelled_windows,
    load_validation,
    training_normals,
)
from pipeline.training.log_curves import LogCurves
from pipeline.training.loop import State, TrainSettings, fit_without_training, net_shape
from pipeline.training.on_ray import TrainJob, require_trainable, train_on_ray
from stages.entry import HISTORY, MODEL, PATCHES, SWEEP, TRAINED


@closing_runs()
def main() -> None:
    """Write results/train."""
    remove_unfinished(TRAINED)
    settings = load_settings()
    block = settings.train
    model_settings, chosen_losses = choose_settings(settings.model, block, read_best(SWEEP))
    losses = method_of(model_settings).effective(chosen_losses)
    training = TrainSettings(model_settings, losses, block.epochs, block.seed)
    manifest = read_manifest(PATCHES)
    data = manifest["data"]
    normals, validation = PatchStore(PATCHES, TRAIN), PatchStore(PATCHES, VALIDATION)
    labelled = None
    if model_settings.head == "labelled":
        store = PatchStore(PATCHES, LABELLED_TRAINING)
        labelled = labelled_windows(store, manifest[LABELLED_BAGS])
    trains = model_settings.method not in WITHOUT_NETWORKS
    if trains:
        require_trainable(training, normals, block.workers, block)
    run = pipeline_run(Tracker.open(), Origin.now(settings, data))
    chosen = {**asdict(model_settings), **asdict(losses)}
    run.log_params(chosen_params(chosen))
    if trains:
        storage = Storage.of(settings.storage)
        shared = upload_patches(PATCHES, storage, settings.cache_gb)
        key = training.key(data, block.workers)
        job = TrainJob(training, str(PATCHES.resolve()), key, shared=shared)
        with ray_session():
            state = train_on_ray(job, block.workers, block, storage, [LogCurves(run)])
    else:
        criterion = load_validation(validation, training.seed, labelled=None)
        state = fit_without_training(training, normals, criterion, labelled)
    bags = PatchStore(PATCHES, VALIDATION, also=IGNORED_VALIDATION)
    model = calibrated_model(
        net_shape(training, normals),
        state["best"],
        model_settings,
        normals=training_normals(normals),
        validation=bags.blocks_with_progress("calibrate"),
        scan_ids=bags.scan_ids,
        rule=settings.extract.window_rule,
        false_alarm_rate=block.false_alarm_rate,
        provenance={"settings": chosen, "data": data},
        labelled=labelled,
        normal=bags.is_normal(),
    )
    model.save(TRAINED / MODEL)
    history = state["history"]
    write_table(TRAINED / HISTORY, list(history[0]), history)
    print(trained_text(state), file=terminal.out())


def trained_text(state: State) -> str:
    """Return a line about a training: its epochs, and the one that is kept."""
    best = state["best"]
    if state["epoch"] == 0:
        return f"nothing to train; {IMPLANT_AUC} {best['criterion']:.3f}"
    return (
        f"trained {state['epoch']} epochs; epoch {best['epoch']} is kept, "
        f"which has the best {IMPLANT_AUC}, {best['criterion']:.3f}"
    )
