"""The head that labelled bags teach: scikit-learn's own scores, its direction, the model's file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.common.errors import InputError
from pipeline.common.names import TEST
from pipeline.models.attenuation import MAPS, attenuation_maps
from pipeline.models.detector import Detector, LabelledWindows
from pipeline.models.detector import fitted_detector as fitted
from pipeline.models.methods.granulometry.head import fit
from pipeline.models.methods.granulometry.method import GranulometryScorer
from pipeline.models.methods.granulometry.openings import RADII, STATISTICS, granulometry
from pipeline.models.tensor_files import load_tensors, save_tensors
from pipeline.models.trained_model import TrainedModel, calibrate, calibrated_model
from pipeline.patches.store import PatchStore
from pipeline.settings.windows import WindowRule
from pipeline.training.criterion import labelled_windows
from tests.models.plain import SHAPE
from tests.models.test_granulometry import SETTINGS

SIDE = 16
TAUGHT = replace(SETTINGS, head="labelled")
TERMS = 32


def windows(seed: int, count: int) -> np.ndarray:
    """Smooth windows from bright to dark; every third has a thick block of metal, as bags have."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(90, 256, (count, 4, 4, 3), dtype=np.uint8)
    found = np.stack([cv2.resize(each, (SIDE, SIDE)) for each in coarse])
    for each in found[::3]:
        each[2:14, 2:14] = generator.integers(0, 60)
    return found


def with_bar(patches: np.ndarray) -> np.ndarray:
    """The patches with a thin bar of metal, which is the threat."""
    darker = patches.copy()
    darker[:, 7:9, 2:14] = np.minimum(darker[:, 7:9, 2:14], (40, 90, 160))
    return darker


NORMALS, CLEAN, THREATS = windows(0, 80), windows(1, 30), with_bar(windows(2, 12))
ABNORMAL = np.arange(42) >= 30
JUDGED, JUDGED_THREATS = windows(3, 30), with_bar(windows(4, 30))


def in_blocks() -> Iterator[np.ndarray]:
    both = np.concatenate([CLEAN, THREATS])
    yield both[:17]
    yield both[17:]


LABELLED = LabelledWindows(in_blocks, ABNORMAL, bags=4)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return fitted(SHAPE, {}, TAUGHT, [NORMALS[:30], NORMALS[30:]], labelled=LABELLED)


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    best = {"networks": {}, "epoch": 0, "criterion": 0.5}
    scans, rule = np.repeat(["a", "b", "c"], 10), WindowRule(size=SIDE)
    return calibrated_model(
        SHAPE, best, TAUGHT, [NORMALS], [JUDGED], scans, rule, 0.1, {"data": "d"}, LABELLED
    )


def evidence_of(patches: np.ndarray) -> np.ndarray:
    """-log p of each term, (N, 32), by the scorer without a head (tested beside the method)."""
    scorer = fitted(SHAPE, {}, SETTINGS, [NORMALS]).scorer
    assert isinstance(scorer, GranulometryScorer)
    features = granulometry(attenuation_maps(patches)).reshape(len(patches), TERMS)
    return np.asarray(-np.log(scorer.p_values(features)))


def regression() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))


def test_weights_and_bias_are_scikit_learn_s_decision_function() -> None:
    generator = np.random.default_rng(0)
    evidence = generator.exponential([[1.0, 20.0, 0.1]], (90, 3))
    evidence[:, 2] = 0.7  # a constant term has no variance to divide by
    abnormal = evidence[:, 0] + evidence[:, 1] / 20 + generator.normal(size=90) > 3
    weights, bias = fit(evidence, abnormal)
    model = regression().fit(evidence, abnormal)
    expected = model.decision_function(evidence)
    assert weights.shape == (3,)
    np.testing.assert_allclose(evidence @ weights + bias, expected, rtol=1e-9, atol=1e-12)
    assert expected[abnormal].mean() > expected[~abnormal].mean()


def test_the_score_is_the_log_odds_of_a_regression_on_every_window(detector: Detector) -> None:
    """On the training normals, the labelled bags' normal windows, and those with a threat."""
    learnt = evidence_of(np.concatenate([NORMALS, CLEAN, THREATS]))
    kinds = np.concatenate([np.zeros(len(NORMALS), dtype=bool), ABNORMAL])
    model = regression().fit(learnt, kinds)
    found = detector.score([JUDGED, JUDGED_THREATS])
    expected = model.decision_function(evidence_of(np.concatenate([JUDGED, JUDGED_THREATS])))
    np.testing.assert_allclose(found.anomaly, expected, rtol=1e-9, atol=1e-9)
    assert found.anomaly.std() > 0.1
    assert list(found.terms) == ["labelled"]
    np.testing.assert_array_equal(found.terms["labelled"], found.anomaly)


def test_a_window_is_explained_by_the_term_that_adds_most_to_its_log_odds(
    detector: Detector,
) -> None:
    weights, _ = fit(
        evidence_of(np.concatenate([NORMALS, CLEAN, THREATS])),
        np.concatenate([np.zeros(len(NORMALS), dtype=bool), ABNORMAL]),
    )
    names = [(name, kind, r) for name in MAPS for kind in STATISTICS for r in RADII]
    rarest = fitted(SHAPE, {}, SETTINGS, [NORMALS]).explain(JUDGED_THREATS)
    for because, added in zip(
        detector.explain(JUDGED_THREATS), evidence_of(JUDGED_THREATS) * weights, strict=True
    ):
        best = [name for name, value in zip(names, added, strict=True) if value == added.max()]
        name, kind, radius = best[-1]
        thick = f" at least {2 * radius + 1} pixels thick" if radius else ""
        degree = {"mean": "more", "max": "denser"}[kind]
        assert because.startswith(f"{name}{thick}: {degree} than in ")
    assert detector.explain(JUDGED_THREATS) != rarest


def share_above(detector: Detector) -> float:
    """How often a window of the labelled kind scores higher than one without a threat."""
    normal, threat = (detector.score([kind]).anomaly for kind in (JUDGED, JUDGED_THREATS))
    return float((threat[:, None] > normal).mean())


def test_a_kind_of_window_that_was_labelled_scores_higher_than_without_labels(
    detector: Detector,
) -> None:
    """Metal over a window is evidence without labels too, but that of thick normal blocks more."""
    assert share_above(fitted(SHAPE, {}, SETTINGS, [NORMALS])) < 0.7
    assert share_above(detector) > 0.8
    swapped = LabelledWindows(in_blocks, ~ABNORMAL, bags=4)
    assert share_above(fitted(SHAPE, {}, TAUGHT, [NORMALS], labelled=swapped)) < 0.5


def test_without_a_head_labels_change_nothing() -> None:
    one, other = (
        fitted(SHAPE, {}, SETTINGS, [NORMALS]).score([JUDGED_THREATS]),
        fitted(SHAPE, {}, SETTINGS, [NORMALS], labelled=None).score([JUDGED_THREATS]),
    )
    np.testing.assert_array_equal(one.anomaly, other.anomaly)
    assert list(one.terms) == ["metal", "dense"]


def test_a_saved_model_scores_the_same_and_a_window_s_batch_does_not_matter(
    model: TrainedModel, tmp_path: Path
) -> None:
    model.save(tmp_path / "model.pt")
    loaded = TrainedModel.load(tmp_path / "model.pt")
    together = loaded.detector().score([JUDGED_THREATS]).anomaly
    expected = fitted(SHAPE, {}, TAUGHT, [NORMALS], labelled=LABELLED).score([JUDGED_THREATS])
    np.testing.assert_array_equal(together, expected.anomaly)
    alone = [loaded.detector().score([patch[None]]).anomaly[0] for patch in JUDGED_THREATS[:5]]
    np.testing.assert_array_equal(together[:5], alone)
    assert loaded.provenance["labelled_bags"] == 4
    assert loaded.head is not None
    assert loaded.head.shape == (TERMS + 1,)


def test_bounds_and_threshold_are_of_validation_normals_alone(
    model: TrainedModel, detector: Detector
) -> None:
    assert model.calibration == calibrate(detector.score([JUDGED]).anomaly, 0.1)
    assert model.tails.windows.count == len(JUDGED)


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        ("head", None, "the head or the normals are missing"),
        ("normals", None, "the normals that scores compare with are missing"),
        ("normals", torch.zeros(3), "expected"),
        ("head", torch.zeros(TERMS).double(), r"head \(\(32,\), torch.float64\), expected"),
        ("head", torch.zeros(TERMS + 1), r"expected \(\(33,\), torch.float64\)"),
        ("head", torch.full((TERMS + 1,), torch.nan).double(), "not finite"),
        ("head", [0.0] * (TERMS + 1), ""),
        ("settings", vars(SETTINGS), "a head, but model.head is 'none'"),
    ],
)
def test_a_damaged_head_is_refused(
    model: TrainedModel, tmp_path: Path, part: str, value: object, reason: str
) -> None:
    path = tmp_path / "model.pt"
    model.save(path)
    save_tensors(path, {**load_tensors(path), part: value})
    with pytest.raises(
        InputError, match=rf"model\.pt: incomplete or foreign model file: .*{reason}"
    ):
        TrainedModel.load(path)


def test_labels_without_any_threat_are_refused_in_one_line(patches: Path) -> None:
    for split in ("train", "labelled_training"):
        with pytest.raises(InputError, match=r"^model\.head: labelled, but .* set model\.head to"):
            labelled_windows(PatchStore(patches, split), 3)
    store = PatchStore(patches, TEST)
    found = labelled_windows(store, 3)
    np.testing.assert_array_equal(found.abnormal, store.labels != "normal")
    assert sum(map(len, found.blocks())) == sum(map(len, found.blocks())) == len(store)
    assert found.bags == 3
