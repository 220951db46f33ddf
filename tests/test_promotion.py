"""Which candidate becomes the champion, by a client that has its versions in memory."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.tracking import MlflowClient

from pipeline.common.errors import InputError
from pipeline.tracking.registry import Version, _model_of_run, _promote, comparison


class Client:
    """The versions of a registered model: of each alias the AUC, and the data's digest."""

    def __init__(self, **versions: tuple[float | None, str]) -> None:
        self.versions, self.promoted = versions, list[str]()

    def get_model_version_by_alias(self, _: str, alias: str) -> Any:
        if alias not in self.versions:
            raise MlflowException("no such alias", RESOURCE_DOES_NOT_EXIST)
        return SimpleNamespace(version=alias, run_id=alias)

    def get_run(self, alias: str) -> Any:
        auc, data = self.versions[alias]
        used = [SimpleNamespace(dataset=SimpleNamespace(digest=data))]
        return SimpleNamespace(
            data=SimpleNamespace(metrics={} if auc is None else {"auc/overall": auc}),
            inputs=SimpleNamespace(dataset_inputs=used),
        )

    def set_registered_model_alias(self, _: str, alias: str, version: str) -> None:
        self.promoted.append(f"{alias} {version}")


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (("a", 0.7), 0.6, True),
        (("a", 0.7), None, True),
        (("a", 0.7), 0.7, False),
        (("b", 0.7), 0.6, True),
        (("b", 0.7), 0.8, False),
        (("b", None), 0.5, False),
        (None, None, False),
        (None, 0.5, False),
    ],
)
@pytest.mark.parametrize("anyway", [False, True])
def test_a_candidate_is_promoted_unless_its_auc_is_lower_or_missing(
    before: tuple[str, float | None] | None, after: float | None, anyway: bool, refused: bool
) -> None:
    client = Client(candidate=(after, "a"), **({"champion": before[::-1]} if before else {}))
    if refused and not anyway:
        with pytest.raises(InputError, match="AUC is lower or missing: add --anyway"):
            _promote(cast(MlflowClient, client), anyway=False)
        assert client.promoted == []
        return
    text = _promote(cast(MlflowClient, client), anyway=anyway)
    assert client.promoted == ["champion candidate"]
    assert ("on different data" in text) == (before is not None and before[0] == "b")


def test_every_measure_by_which_versions_are_compared_is_in_the_table() -> None:
    names = ["auc/gun", "auc/overall", "auc_within_bags", "bag_auc", "bag_auc_control",
             "false_alarm_rate", "first_look"]  # fmt: skip
    version = Version("1", dict.fromkeys((*names, "loss_g"), 0.5), "a")
    assert [line.split()[0] for line in comparison(version, version).splitlines()[1:]] == names


def test_of_a_run_that_was_logged_twice_the_last_model_is_taken() -> None:
    models = [SimpleNamespace(model_id=name) for name in ("first", "last")]
    run = SimpleNamespace(outputs=SimpleNamespace(model_outputs=models))
    client = SimpleNamespace(
        get_run={"0": run}.__getitem__,
        get_logged_model=lambda name: SimpleNamespace(artifact_location=f"mlartifacts/{name}"),
    )
    assert _model_of_run(cast(MlflowClient, client), "runs:/0") == "mlartifacts/last"
