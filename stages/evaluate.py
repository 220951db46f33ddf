"""Stage `evaluate`: AUC per abnormal class on the test part, figures, and the MLflow run."""

from dataclasses import asdict

from pipeline.common import terminal
from pipeline.common.files import read_json, remove_unfinished, write_whole, yaml_text
from pipeline.common.lines import masked
from pipeline.common.names import TEST, TRAIN, VALIDATION
from pipeline.evaluation.alarms import Validated
from pipeline.evaluation.bag_metrics import measure_all
from pipeline.evaluation.bags import scored_bags, tails_of
from pipeline.evaluation.evaluate import ANOMALY, EveryScore, detector_without_networks, score_store
from pipeline.evaluation.findings import bag_findings, findings
from pipeline.evaluation.page import write_evaluation_page
from pipeline.evaluation.principal_components import PrincipalComponents
from pipeline.evaluation.report import (
    BAGS,
    FIGURES,
    METRICS,
    PAGE,
    TABLE,
    heading_of,
    result_paragraphs,
    write_figures,
    write_report,
)
from pipeline.evaluation.showcase import EvaluationInputs
from pipeline.models.trained_model import TrainedModel
from pipeline.patches.store import PatchStore
from pipeline.scans.catalogue import read_catalogue
from pipeline.scans.sources.registry import open_source
from pipeline.settings.methods import WITHOUT_NETWORKS
from pipeline.settings.params import load_settings
from pipeline.tracking.tracker import closing_runs
from stages.entry import EVALUATED, MODEL, PATCHES, SCANS, SWEEP, TRAINED
from stages.track import track, write_record

NEXT = (
    f"Open {EVALUATED / PAGE}. Every score by bag: {EVALUATED / BAGS}. Runs: make mlflow. "
    "Next: git add dvc.lock results/evaluate/metrics.json && git commit"
)
SETTINGS = "settings.yaml"  # the settings in effect, for `dvc params diff`


@closing_runs()
def main() -> None:
    """Write results/evaluate and complete the pipeline's MLflow run."""
    remove_unfinished(EVALUATED)
    settings = load_settings()
    model = TrainedModel.load(TRAINED / MODEL)
    detector = model.detector()
    store = PatchStore(PATCHES, TEST)
    normals = PatchStore(PATCHES, TRAIN)
    components = PrincipalComponents.fit(normals)
    itself = model.settings.method in WITHOUT_NETWORKS and model.head is None
    beside = None if itself else detector_without_networks(normals)
    every = EveryScore(detector, model.calibration, components, beside)
    test = score_store(store, every)
    validation = PatchStore(PATCHES, VALIDATION)
    validated = Validated(model.calibration, model.provenance["criterion"], validation.scans)
    windows = settings.extract.mode == "windows"
    inputs = EvaluationInputs(
        store=store,
        scans=[row for row in read_catalogue(SCANS) if row.split == TEST] if windows else [],
        source=open_source(settings.scans, SCANS),
        rule=settings.extract,
        detector=detector,
        calibration=model.calibration,
    )
    tails = tails_of(score_store(validation, every))
    bags = list(scored_bags(inputs, test, tails, every))
    rate = settings.screen.false_alarm_rate
    measured = measure_all(bags, tails, rate, settings.evaluate)
    labelled_bags = model.provenance["labelled_bags"]
    heading = heading_of(settings, labelled_bags)
    table = write_report(EVALUATED, store, test, validated, settings.evaluate, heading, measured)
    write_figures(EVALUATED / FIGURES, inputs, test, table, settings.evaluate)
    write_record(settings, model)
    paragraphs = result_paragraphs(
        asdict(settings),
        model.provenance["data"],
        read_json(EVALUATED / METRICS),
        labelled_bags,
    )
    write_evaluation_page(
        EVALUATED / PAGE,
        paragraphs,
        [
            ("Windows", EVALUATED / TABLE),
            ("Bags", EVALUATED / BAGS),
            ("The sweep", SWEEP / "summary.txt"),
        ],
        sorted((EVALUATED / FIGURES).glob("*.png")) + sorted((SWEEP / FIGURES).glob("*.png")),
        inputs,
        bags,
        tails[ANOMALY],
    )
    write_whole(EVALUATED / SETTINGS, masked(yaml_text(asdict(settings))).encode())
    print((EVALUATED / TABLE).read_text(encoding="utf-8"), end="", file=terminal.out())
    found = findings(table, test, settings.evaluate) + bag_findings(measured.metrics)
    following = "" if settings.preset == "best" else "; dvc exp run -S preset=best"
    print(f"{found}{NEXT}{following}", file=terminal.out())
    track()
