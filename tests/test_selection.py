from pathlib import Path

import numpy as np

from pipeline.models.nets import NetShape
from pipeline.models.skip_ganomaly.method import SkipGanomalyScorer
from pipeline.models.skip_ganomaly.nets import build_networks
from pipeline.patch_store import PatchStore
from pipeline.scoring import Detector
from pipeline.selection import CRITERION, LABELLED, implant, load_validation, objective
from pipeline.splits import LABELLED_VALIDATION, VALIDATION
from tests.conftest import MODEL

SHAPE = NetShape(side=16, channels=3, ngf=4, ndf=4, latent_dim=5)


def test_implants_only_darken_a_rectangle_of_each_patch() -> None:
    patches = np.random.default_rng(0).integers(1, 250, (20, 32, 32, 3), dtype=np.uint8)
    implanted = implant(patches, np.random.default_rng(1))
    for before, after in zip(patches, implanted, strict=True):
        rows, columns = np.nonzero((before != after).any(axis=2))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert 4 <= height <= 16
        assert 4 <= width <= 16
        assert len(rows) == height * width  # transmissions multiply, so each pixel of it changed
        assert (after <= before).all()


def test_the_criterion_is_the_same_for_the_same_seed(patches: Path) -> None:
    store = PatchStore(patches, VALIDATION)
    first, again = (load_validation(store, 5, None) for _ in range(2))
    np.testing.assert_array_equal(first.implanted, again.implanted)
    assert not np.array_equal(first.implanted, load_validation(store, 6, None).implanted)


def test_labels_are_the_objective_only_where_both_kinds_are_there(patches: Path) -> None:
    assert objective(PatchStore(patches, LABELLED_VALIDATION)) == LABELLED
    assert objective(PatchStore(patches, VALIDATION)) == CRITERION


def test_metrics_name_what_they_are(patches: Path) -> None:
    detector = Detector(SkipGanomalyScorer(build_networks(SHAPE, 0), MODEL))
    normals, labelled = (PatchStore(patches, name) for name in (VALIDATION, LABELLED_VALIDATION))
    plain = load_validation(normals, 0, None)(detector)
    both = load_validation(normals, 0, labelled)(detector)
    assert LABELLED not in plain
    assert 0 <= both[LABELLED] <= 1
    assert both[CRITERION] == plain[CRITERION]
