"""Stage `evaluate`: AUC per abnormal class on the test part, figures, and the MLflow run."""

from pipeline.catalogue import read_catalogue
from pipeline.evaluation import score_test
from pipeline.patch_store import PatchStore
from pipeline.report import FIGURES, TABLE, write_figures, write_report
from pipeline.scoring import TrainedModel
from pipeline.settings import load_settings
from pipeline.showcase import ScanScorer
from pipeline.sources.registry import open_source
from pipeline.splits import TEST
from pipeline.tracking import closing_runs
from stages.entry import EVALUATED, MODEL, PATCHES, SCANS, TRAINED, run_stage
from stages.track import track


@closing_runs()
def main() -> None:
    """Write results/evaluate and complete the pipeline's MLflow run."""
    settings = load_settings()
    model = TrainedModel.load(TRAINED / MODEL)
    detector = model.detector(use_compiler=settings.model.compile)
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
    track(settings)


if __name__ == "__main__":
    run_stage(main)
