"""Stage `tune`: search the loss weights and the latent size, if `tune.trials` is not 0."""

from dataclasses import asdict

from pipeline.cluster.session import ray_session
from pipeline.cluster.storage import Storage
from pipeline.common import terminal
from pipeline.common.files import remove_unfinished
from pipeline.common.names import TRAIN
from pipeline.patches.manifest import read_manifest
from pipeline.patches.store import PatchStore
from pipeline.patches.upload import upload_patches
from pipeline.settings.params import Settings, load_settings
from pipeline.sweeps.results import write_sweep
from pipeline.sweeps.summary import SUMMARY, write_summary
from pipeline.sweeps.trainable import SweepJob
from pipeline.sweeps.tune import require_runnable, run_sweep, sweep_key, sweep_objective
from pipeline.tracking.runs import Origin, pipeline_run
from pipeline.tracking.tracker import Tracker, closing_runs
from stages.entry import PATCHES, SWEEP


@closing_runs()
def main() -> None:
    """Write results/tune."""
    remove_unfinished(SWEEP)
    settings = load_settings()
    if settings.tune.trials == 0:
        print("tune.trials is 0: no sweep", file=terminal.out())
        write_sweep(SWEEP, None, "none", None)
    else:
        sweep(settings)


def sweep(settings: Settings) -> None:
    """Run the sweep under the pipeline's MLflow run."""
    data = read_manifest(PATCHES)["data"]
    require_runnable(settings.model, settings.tune, PatchStore(PATCHES, TRAIN))
    parent = pipeline_run(Tracker.open(), Origin.now(settings, data))
    storage = Storage.of(settings.storage)
    job = SweepJob(
        model=settings.model,
        tune=settings.tune,
        patches=str(PATCHES.resolve()),
        objective=sweep_objective(PATCHES),
        key=sweep_key(settings.model, settings.tune, data),
        shared=upload_patches(PATCHES, storage, settings.cache_gb),
    )
    run = parent.child("sweep")
    run.log_params({"objective": job.objective, **asdict(settings.tune)})
    with ray_session():
        result = run_sweep(job, storage, run)
    run.log_metrics({"objective": result.value})
    write_sweep(SWEEP, result, job.objective, run.id)
    write_summary(SWEEP, result, settings.tune.space, job.objective)
    run.log_folder(SWEEP, "sweep")
    run.finish()
    print((SWEEP / SUMMARY).read_text(encoding="utf-8"), end="", file=terminal.out())
