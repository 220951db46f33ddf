"""Stage `evaluate`: AUC per abnormal class on the test part, figures, and the MLflow run."""

from pipeline.catalogue import read_catalogue
from pipeline.evaluation import score_test, unmeasurable
from pipeline.files import digest
from pipeline.models.settings import LossSettings
from pipeline.patch_store import PatchStore
from pipeline.protocol_report import write_protocols
from pipeline.protocols import HONEST, Protocol
from pipeline.reference_protocol import LabelledTest, Picked, run_protocols
from pipeline.report import FIGURES, TABLE, heading_of, write_figures, write_report
from pipeline.scoring import TrainedModel
from pipeline.search_space import LOSS_NAMES
from pipeline.selection import load_validation
from pipeline.settings import Settings, load_settings
from pipeline.showcase import ScanScorer
from pipeline.sources.registry import open_source
from pipeline.splits import TEST, TRAIN, VALIDATION
from pipeline.tracking import closing_runs
from pipeline.training import TrainSettings
from pipeline.windows import NORMAL
from stages.entry import EVALUATED, MODEL, PATCHES, PROTOCOLS, SCANS, TRAINED
from stages.track import track


@closing_runs()
def main() -> None:
    """Write results/evaluate and complete the pipeline's MLflow run."""
    settings = load_settings()
    model = TrainedModel.load(TRAINED / MODEL)
    detector = model.detector()
    store = PatchStore(PATCHES, TEST)
    test = score_test(store, detector, model.calibration, PatchStore(PATCHES, TRAIN))
    heading = heading_of(settings)
    table = write_report(EVALUATED, store, test, model.calibration, settings.evaluate, heading)
    scorer = ScanScorer(
        rows=[row for row in read_catalogue(SCANS) if row.split == TEST],
        source=open_source(settings.scans, SCANS),
        rule=settings.extract,
        detector=detector,
        calibration=model.calibration,
    )
    classes = tuple(name for name in store.classes if name != NORMAL)
    sampling = (settings.evaluate.bootstrap, settings.evaluate.seed)
    protocols = {} if unmeasurable(test, classes) else score_by_protocols(settings, model, store)
    write_protocols(EVALUATED, protocols, classes, *sampling)
    write_figures(EVALUATED / FIGURES, store, test, table, scorer, settings.evaluate)
    print((EVALUATED / TABLE).read_text(encoding="utf-8"), end="")
    track(settings)


def score_by_protocols(
    settings: Settings, model: TrainedModel, store: PatchStore
) -> dict[Protocol, Picked]:
    """The protocol that is asked for and the honest one, of one more training with equal settings.

    Nothing where only the honest one is asked for.
    """
    asked = settings.evaluate.protocol
    if asked == HONEST:
        return {}
    chosen, data = model.provenance["settings"], model.provenance["data"]
    losses = LossSettings(**{name: chosen[name] for name in LOSS_NAMES})
    training = TrainSettings(model.settings, losses, settings.train.epochs, settings.train.seed)
    key = digest([training.key(data, 1), asked])
    return run_protocols(
        training,
        PatchStore(PATCHES, TRAIN),
        load_validation(PatchStore(PATCHES, VALIDATION), training.seed, labelled=None),
        LabelledTest.read(store),
        (HONEST, asked),
        PROTOCOLS / f"{key[:16]}.pt",
    )
