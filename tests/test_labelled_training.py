"""The stages with a few labelled bags: whose labels teach the score, and how many bags they are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

import stages.extract
import stages.scans
import stages.train
from pipeline.common.errors import InputError
from pipeline.common.names import LABELLED_TRAINING, TEST, TRAIN, VALIDATION
from pipeline.models.trained_model import TrainedModel
from pipeline.patches.manifest import read_manifest
from pipeline.patches.store import PatchStore
from pipeline.scans.catalogue import read_catalogue
from pipeline.sweeps.results import write_sweep
from pipeline.tracking.tracked_run import NoRun
from stages.entry import MODEL, PATCHES, SCANS, SWEEP, TRAINED
from tests.imports import ROOT
from tests.tiny import make_sixray

pytestmark = pytest.mark.slow  # of three stages

GROUP = r"^.*/t\d\d?(?=\d)"  # views of threats are in bags of up to ten
Train = Callable[..., TrainedModel]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Runs the stages from scans to train without MLflow, on a set with 12 of 24 scans abnormal."""
    make_sixray(tmp_path / "mine", normal=12, threat=12)
    (tmp_path / "presets.yaml").write_text((ROOT / "presets.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stages.train, "pipeline_run", lambda *_: NoRun())

    def run(head: str = "labelled", **scans: object) -> TrainedModel:
        content = yaml.safe_load((ROOT / "params.yaml").read_text())
        content["preset"] = "best"
        content["scans"] |= {"source": "sixray", "folder": "mine", **scans}
        content["extract"] |= {"size": 16, "stride": 12, "shard_scans": 2}
        content["model"]["head"] = head
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
        stages.scans.main()
        stages.extract.main()
        write_sweep(SWEEP, None, "none", None)
        stages.train.main()
        return TrainedModel.load(TRAINED / MODEL)

    return run


def test_labels_are_read_of_the_bags_that_teach_alone_and_not_without_a_head(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: set[str] = set()
    labels: set[str] = set()
    whole, asked = PatchStore.read, PatchStore.is_normal

    def noted_read(store: PatchStore, start: int, stop: int) -> np.ndarray:
        read.add(store.split)
        return whole(store, start, stop)

    def noted_labels(store: PatchStore) -> np.ndarray:
        labels.add(store.split)
        return asked(store)

    monkeypatch.setattr(PatchStore, "read", noted_read)
    monkeypatch.setattr(PatchStore, "is_normal", noted_labels)
    taught = train(labelled_training=0.4, labelled_validation=0.3)
    assert read == {TRAIN, VALIDATION, LABELLED_TRAINING}
    assert labels == {LABELLED_TRAINING, VALIDATION}  # which windows are on ignored objects
    read.clear()
    labels.clear()
    without = train("none", labelled_training=0.4, labelled_validation=0.3)
    assert read == {TRAIN, VALIDATION}
    assert labels == {VALIDATION}
    assert (taught.provenance["labelled_bags"], without.provenance["labelled_bags"]) == (4, 0)
    assert without.head is None
    test = PatchStore(PATCHES, TEST)
    assert not test.is_normal().all()
    same, other = (model.detector().score(test.blocks()).anomaly for model in (without, taught))
    assert not np.allclose(same, other)


def test_the_bags_are_counted_and_not_their_views(train: Train) -> None:
    model = train(labelled_training=0.5, group=GROUP)
    teaching = [row for row in read_catalogue(SCANS) if row.split == LABELLED_TRAINING]
    assert len(teaching) > model.provenance["labelled_bags"] == 1
    assert read_manifest(PATCHES)["splits"][LABELLED_TRAINING]["scans"] == len(teaching)


def test_a_share_too_small_for_any_bag_is_refused(train: Train) -> None:
    with pytest.raises(InputError, match=r"no window with a threat.*raise scans\.labelled_train"):
        train(labelled_training=0.01)
