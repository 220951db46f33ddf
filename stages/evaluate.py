"""Stage `evaluate`: AUC per abnormal class on the test split, figures, and the MLflow run."""

from collections.abc import Sequence
from dataclasses import asdict

from pipeline.common import terminal
from pipeline.common.files import read_json, remove_unfinished, write_atomically, yaml_text
from pipeline.common.lines import mask_credentials
from pipeline.common.names import IGNORED_VALIDATION, TEST, TRAIN, VALIDATION
from pipeline.evaluation.alarms import ValidationSummary
from pipeline.evaluation.bag_metrics import measure_all
from pipeline.evaluation.bags import ScoredBag, scored_bags, tails_of
from pipeline.evaluation.findings import bag_findings, findings
from pipeline.evaluation.inputs import EvaluationInputs
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
from pipeline.evaluation.scores import ANOMALY, PatchScorer, detector_without_networks, score_store
from pipeline.models.bag_scores import Tails
from pipeline.models.detector import Detector
from pipeline.models.trained_model import TrainedModel
from pipeline.patches.store import PatchStore
from pipeline.scans.catalogue import read_catalogue
from pipeline.scans.sources.registry import open_source
from pipeline.settings.methods import WITHOUT_NETWORKS
from pipeline.settings.params import Settings, load_settings
from pipeline.sweeps.results import read_best
from pipeline.tracking.tracker import closing_runs
from stages.entry import EVALUATED, MODEL, PATCHES, SCANS, SWEEP, TRAINED
from stages.track import track, write_record

NEXT = (
    f"Open {EVALUATED / PAGE}. Every score by bag: {EVALUATED / BAGS}. Runs: make mlflow. "
    "Next: git add params.yaml dvc.lock results/evaluate/metrics.json && git commit"
)
SETTINGS = "settings.yaml"  # the settings in effect, for `dvc params diff`


@closing_runs()
def main() -> None:
    """Write results/evaluate and complete the pipeline's MLflow run."""
    remove_unfinished(EVALUATED)
    settings, model = load_settings(), TrainedModel.load(TRAINED / MODEL)
    inputs = evaluation_inputs(settings, model)
    score_patches = every_score(model, inputs.detector)
    test = score_store(inputs.store, score_patches)
    validation = PatchStore(PATCHES, VALIDATION, also=IGNORED_VALIDATION)
    tails = tails_of(score_store(validation, score_patches))
    bags = list(scored_bags(inputs, test, tails, score_patches))
    measured = measure_all(bags, tails, settings.screen.false_alarm_rate, settings.evaluate)
    criterion = model.provenance["criterion"]
    validated = ValidationSummary(model.calibration, criterion, validation.scans)
    heading = heading_of(settings, model.notes)
    table = write_report(
        EVALUATED, inputs.store, test, validated, settings.evaluate, heading, measured
    )
    write_figures(EVALUATED / FIGURES, inputs, test, table, settings.evaluate, bags, tails[ANOMALY])
    write_record(settings, model)
    write_page(settings, model, inputs, bags, tails[ANOMALY])
    write_atomically(EVALUATED / SETTINGS, mask_credentials(yaml_text(asdict(settings))).encode())
    print((EVALUATED / TABLE).read_text(encoding="utf-8"), end="", file=terminal.out())
    sentences = findings(table, test, settings.evaluate) + bag_findings(measured.metrics)
    following = "" if settings.preset == "best" else "; dvc exp run -S preset=best"
    print(f"{sentences}{NEXT}{following}", file=terminal.out())
    track()


def evaluation_inputs(settings: Settings, model: TrainedModel) -> EvaluationInputs:
    """Open the test split, its scans, and the model that scores them."""
    windows = settings.extract.mode == "windows"
    return EvaluationInputs(
        store=PatchStore(PATCHES, TEST),
        scans=[row for row in read_catalogue(SCANS) if row.split == TEST] if windows else [],
        source=open_source(settings.scans, SCANS),
        rule=model.rule,
        detector=model.detector(),
        calibration=model.calibration,
    )


def every_score(model: TrainedModel, detector: Detector) -> PatchScorer:
    """Fit the scores that need no model, and the method without networks unless it is the model."""
    normals = PatchStore(PATCHES, TRAIN)
    itself = model.settings.method in WITHOUT_NETWORKS and model.head is None
    return PatchScorer(
        detector,
        model.calibration,
        PrincipalComponents.fit(normals),
        without_networks=None if itself else detector_without_networks(normals),
    )


def write_page(
    settings: Settings,
    model: TrainedModel,
    inputs: EvaluationInputs,
    bags: Sequence[ScoredBag],
    tails: Tails,
) -> None:
    """Write results/evaluate/report.html."""
    paragraphs = result_paragraphs(
        asdict(settings),
        model.provenance["data"],
        read_json(EVALUATED / METRICS),
        model.provenance["labelled_bags"],
        read_best(SWEEP).ranked_by,
    )
    tables = [
        ("Windows", EVALUATED / TABLE),
        ("Bags", EVALUATED / BAGS),
        ("The sweep", SWEEP / "summary.txt"),
    ]
    figures = sorted((EVALUATED / FIGURES).glob("*.png")) + sorted((SWEEP / FIGURES).glob("*.png"))
    write_evaluation_page(EVALUATED / PAGE, paragraphs, tables, figures, inputs, bags, tails)
