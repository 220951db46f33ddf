"""The registered models: `candidate` is the newest version, `champion` the promoted one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline.common.errors import InputError, first_line
from pipeline.common.lines import mask_credentials
from pipeline.common.tables import text_table
from pipeline.tracking.tracked_run import CANDIDATE, REGISTERED
from pipeline.tracking.tracker import STORE_ERRORS, Tracker, tracking_uri

CHAMPION = "champion"
MODEL_FILE = "artifacts/model.pt"  # the file of `TrainedModel`, in the folder of a logged model
OVERALL = "auc/overall"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # no such model, no such alias
COMPARED = ("auc/", "bag_auc", "first_look", "auc_within_bags", "false_alarm_rate")


@dataclass(frozen=True)
class Version:
    """A version of the registered model, and its run's metrics on the test split.

    Attributes:
        number: of the version.
        metrics: by name.
        data: digest of the dataset; None if the run has none.
    """

    number: str
    metrics: Mapping[str, float]
    data: str | None


def download_model(model: str, folder: Path) -> Path:
    """Download a trained model into a folder; returns its file.

    Args:
        model: the URI `models:/NAME@ALIAS` or `models:/NAME/VERSION`, or a run's id.
        folder: where to write it.

    Raises:
        InputError: MLflow has no such model, or cannot be reached.
    """
    try:
        client = Tracker(tracking_uri()).client()
        mlflow.set_tracking_uri(tracking_uri())
        uri = model if model.startswith("models:/") else _model_of_run(client, model)
        return Path(download_artifacts(artifact_uri=f"{uri}/{MODEL_FILE}", dst_path=str(folder)))
    except STORE_ERRORS as error:
        raise InputError(
            f"{model}: {first_line(error)}: expected a model in MLflow: `make mlflow` "
            "shows the models, and `skipscan promote` names the champion"
        ) from None


def promote(*, anyway: bool) -> str:
    """Give the candidate the alias `champion`; returns a table that compares both.

    Args:
        anyway: also where the candidate's AUC is lower or missing.

    Raises:
        InputError: there is no candidate, its AUC over all classes is missing or lower than the
            champion's, or MLflow fails.
    """
    try:
        return _promote(Tracker(tracking_uri()).client(), anyway=anyway)
    except STORE_ERRORS as error:
        where = mask_credentials(tracking_uri())
        raise InputError(f"MLflow at {where}: {first_line(error)}: nothing was promoted") from None


def _promote(client: MlflowClient, *, anyway: bool) -> str:
    candidate, champion = (_version(client, alias) for alias in (CANDIDATE, CHAMPION))
    if candidate is None:
        raise InputError(f"MLflow has no version of {REGISTERED}: run `dvc repro` first")
    text = comparison(champion, candidate)
    if champion and candidate.number != champion.number and not anyway:
        before, after = (version.metrics.get(OVERALL) for version in (champion, candidate))
        if before is not None and (after is None or after < before):
            raise InputError(
                f"{text}\nthe candidate's AUC is lower or missing: add --anyway to promote it "
                "nevertheless"
            )
    client.set_registered_model_alias(REGISTERED, CHAMPION, candidate.number)
    return f"{text}\nversion {candidate.number} is the champion: models:/{REGISTERED}@{CHAMPION}"


def comparison(champion: Version | None, candidate: Version) -> str:
    """Return a table of both versions' metrics on the test split."""
    both = [candidate] if champion is None else [champion, candidate]
    metrics = sorted({name for version in both for name in version.metrics})
    names = [name for name in metrics if name.startswith(COMPARED)]
    heads = [f"version {version.number}" for version in both]
    rows = [[name, *(_shown(version.metrics.get(name)) for version in both)] for name in names]
    text = text_table(["on the test split", *heads], rows)
    if champion is None:
        return f"{text}\nthere was no champion"
    if champion.data != candidate.data:
        text += "\nthey were tested on different data, so these figures do not compare"
    return text


def _version(client: MlflowClient, alias: str) -> Version | None:
    try:
        version: ModelVersion = client.get_model_version_by_alias(REGISTERED, alias)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        return None
    run = client.get_run(str(version.run_id))
    used = run.inputs.dataset_inputs if run.inputs else []
    data = used[-1].dataset.digest if used else None
    return Version(str(version.version), run.data.metrics, data)


def _model_of_run(client: MlflowClient, run_id: str) -> str:
    """Return the URI of the model that a run logged last; `run_id` may begin with `runs:/`."""
    run = client.get_run(run_id.removeprefix("runs:/"))
    if not run.outputs or not run.outputs.model_outputs:
        raise InputError(f"{run_id}: this run has no model: expected a run of `dvc repro`")
    return str(client.get_logged_model(run.outputs.model_outputs[-1].model_id).artifact_location)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
