"""Stage `evaluate`: AUC per abnormal class on the test part, figures, and the MLflow run."""

from pipeline.catalogue import read_catalogue
from pipeline.evaluation import flat_metrics, metrics_of, score_test
from pipeline.files import read_numbers
from pipeline.patch_store import PatchStore
from pipeline.report import FIGURES, TABLE, write_figures, write_report
from pipeline.scoring import ScoringModule, TrainedModel
from pipeline.settings import Settings, load_settings
from pipeline.showcase import ScanScorer
from pipeline.sources.registry import open_source
from pipeline.splits import TEST
from pipeline.sweep_results import read_best
from pipeline.tracking import SWEEP_TAG, Tracker
from stages.entry import EVALUATED, HISTORY, MODEL, PATCHES, SCANS, SWEEP, TRAINED, run_stage


def main() -> None:
    """Write results/evaluate and complete the pipeline's MLflow run."""
    settings = load_settings()
    model = TrainedModel.load(TRAINED / MODEL)
    detector = model.detector()
    store = PatchStore(PATCHES, TEST)
    test = score_test(store, detector, model.calibration)
    heading = f"{settings.scans.source}, preset {settings.preset}, seed {settings.train.seed}"
    table = write_report(EVALUATED, store, test, model.calibration, settings.evaluate, heading)
    scorer = ScanScorer(
        rows=[row for row in read_catalogue(SCANS) if row.split == TEST],
        source=open_source(settings.scans, SCANS),
        rule=settings.extract,
        detector=detector,
        calibration=model.calibration,
    )
    write_figures(EVALUATED / FIGURES, store, test, table, scorer, settings.evaluate)
    print((EVALUATED / TABLE).read_text(encoding="utf-8"), end="")
    metrics = metrics_of(table, test, model.calibration)
    track(settings, model, store, flat_metrics(metrics))


def track(
    settings: Settings, model: TrainedModel, store: PatchStore, metrics: dict[str, float | None]
) -> None:
    """Complete the pipeline's run, also with what an earlier run trained, and close it."""
    data = model.provenance["data"]
    tracker = Tracker.open()
    run_id = tracker.pipeline_run(settings, data)
    tracker.log_dataset(run_id, settings.scans.source, str(PATCHES), data)
    tracker.log_params(run_id, model.provenance["losses"])
    tracker.log_missing_history(run_id, read_numbers(TRAINED / HISTORY))
    tracker.log_metrics(run_id, metrics)
    best = read_best(SWEEP)
    tracker.set_tags(run_id, {SWEEP_TAG: best["run_id"] or "none", "objective": best["objective"]})
    tracker.log_folder(run_id, EVALUATED, "evaluation")
    tracker.log_model(run_id, ScoringModule(model), store.read(0, 4))
    tracker.finish(run_id)


if __name__ == "__main__":
    run_stage(main)
