"""Granulometry: openings against scipy's, terms that grow with what is added, the score."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from pipeline.common.errors import InputError
from pipeline.common.names import Image
from pipeline.models.attenuation import MAPS, METAL_LEVEL, attenuation_maps
from pipeline.models.detector import Detector, fitted_detector
from pipeline.models.methods.granulometry.method import GranulometryScorer
from pipeline.models.methods.granulometry.openings import RADII, granulometry
from pipeline.models.pixels import to_patches, to_tensor
from pipeline.models.trained_model import TrainedModel, calibrated_model
from pipeline.settings.model import ModelSettings
from pipeline.settings.windows import WindowRule
from tests.arrays import clutter
from tests.models.plain import SHAPE

SIDE, RADIUS = 64, 5
BLUE = (30, 80, 170)  # metal: red is 0.5 less 0.38
SETTINGS = ModelSettings(1, 1, 1e-3, 0.9, method="granulometry")
CPU = torch.device("cpu")


def with_disc(radius: int = RADIUS) -> Image:
    """Return a white window with a disc of metal in its middle."""
    rows, columns = np.indices((SIDE, SIDE)) - SIDE // 2
    image = np.full((SIDE, SIDE, 3), 255, np.uint8)
    image[rows**2 + columns**2 <= radius**2] = BLUE
    return image


def windows(seeds: range, side: int = 16) -> np.ndarray:
    return np.stack([clutter(seed, 3, side, side) for seed in seeds])


def terms_of(patches: np.ndarray) -> np.ndarray:
    return granulometry(attenuation_maps(patches))


@pytest.mark.parametrize("radius", RADII)
def test_terms_are_mean_and_maximum_of_an_erosion_and_a_dilation(radius: int) -> None:
    maps = np.stack([clutter(seed, 2, 40, 40) // 2 for seed in range(2)])
    maps[0, ..., 0] = 0  # nothing is left of it by any disc
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2).astype(bool)
    assert disc.sum() == pytest.approx(np.pi * (radius + 0.5) ** 2, rel=0.35)
    found = granulometry(maps)[..., RADII.index(radius)]
    assert found.dtype == np.float32
    for row, window in enumerate(maps):
        for channel in range(2):
            plane = window[..., channel]
            eroded = ndimage.grey_erosion(plane, footprint=disc, mode="constant", cval=255)
            opened = ndimage.grey_dilation(eroded, footprint=disc, mode="constant", cval=0)
            expected = [opened.mean() / 255, opened.max() / 255]
            np.testing.assert_allclose(found[row, channel], expected, rtol=1e-6)


def test_an_opening_keeps_what_is_thicker_than_its_disc() -> None:
    mean, highest = terms_of(with_disc()[None])[0, MAPS.index("metal")]
    depth = METAL_LEVEL - BLUE[0] / 255
    expected = [depth if radius <= RADIUS else 0 for radius in RADII]
    np.testing.assert_allclose(highest, expected, atol=1 / 255)
    area = np.count_nonzero(with_disc()[..., 0] == BLUE[0]) / SIDE**2
    assert mean[0] == pytest.approx(area * highest[0])


def test_the_maps_follow_from_the_channels() -> None:
    for pixel, expected in (
        ((100, 200, 180), [27, 0]),
        ((20, 20, 20), [107, 56]),
        ((60, 100), [67, 0]),  # low and high energy
        ((10, 110), [117, 16]),
        ((60,), [67, 16]),
    ):
        assert attenuation_maps(np.array(pixel, np.uint8)[None, None, None])[0, 0, 0].tolist() == (
            expected
        ), pixel


def test_what_is_laid_over_a_window_lowers_no_term() -> None:
    window = clutter(1, 3, SIDE, SIDE)
    shadow = with_disc().astype(np.uint16) // 2 + 127
    darker = (window * shadow // 255).astype(np.uint8)
    before, after = terms_of(window[None]), terms_of(darker[None])
    assert (after >= before).all()
    assert after[0, 0, 0, 4] > before[0, 0, 0, 4]


def test_pixels_survive_the_way_to_a_tensor_and_back() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    np.testing.assert_array_equal(to_patches(to_tensor(every, CPU)), every)
    patches = windows(range(3))
    np.testing.assert_array_equal(to_patches(to_tensor(patches, CPU)), patches)


def test_the_score_is_the_mean_of_minus_log_p_by_a_slow_count() -> None:
    """Of windows that are among the normals: each count has the window itself."""
    normals = windows(range(60))
    judged = normals[20:30]
    detector = fitted_detector(SHAPE, {}, SETTINGS, [normals[:20], normals[20:]])
    found = detector.score([judged])
    among, own = (terms_of(p).reshape(len(p), len(MAPS), -1) for p in (normals, judged))
    for row, window in enumerate(own):
        reached = (among >= window).sum(axis=0)
        evidence = -np.log((1 + reached) / (1 + len(normals)))
        for place, name in enumerate(MAPS):
            assert found.terms[name][row] == pytest.approx(evidence[place].mean(), rel=1e-4)
        assert found.anomaly[row] == pytest.approx(evidence.mean(), rel=1e-4)
        (fishers,) = {stats.combine_pvalues(np.exp(-evidence.ravel()), "fisher").statistic}
        assert found.anomaly[row] == pytest.approx(fishers / 2 / evidence.size, rel=1e-4)


def test_only_high_terms_are_evidence() -> None:
    """A window of air is the least suspicious, and metal over it makes it the most."""
    air = np.full((1, 16, 16, 3), 255, np.uint8)
    solid = np.zeros((1, 16, 16, 3), np.uint8)
    normals = windows(range(50))
    detector = fitted_detector(SHAPE, {}, SETTINGS, [normals])
    low, high = detector.score([np.concatenate([air, solid])]).anomaly
    every = detector.score([normals]).anomaly
    assert low == 0
    assert high > every.max() or high == pytest.approx(np.log(51), rel=0.2)
    assert low <= every.min()


def test_a_window_s_score_does_not_depend_on_its_batch_and_a_saved_model_scores_the_same(
    tmp_path: Path,
) -> None:
    normals, judged = windows(range(50)), windows(range(50, 57))
    best = {"networks": {}, "epoch": 0, "criterion": 0.5}
    scans, rule = np.repeat("a", len(judged)), WindowRule(size=16)
    model = calibrated_model(SHAPE, best, SETTINGS, [normals], [judged], scans, rule, 0.1, {})
    model.save(tmp_path / "model.pt")
    detector = TrainedModel.load(tmp_path / "model.pt").detector()
    together = detector.score([judged]).anomaly
    np.testing.assert_array_equal(together, model.detector().score([judged]).anomaly)
    alone = [detector.score([patch[None]]).anomaly[0] for patch in judged]
    np.testing.assert_array_equal(together, alone)
    assert detector.reconstruct(judged) is None
    assert detector.features(judged).shape == (7, 2 * 2 * len(RADII))


@pytest.mark.parametrize(
    ("normals", "message"),
    [
        (None, "the normals that scores compare with are missing"),
        (torch.zeros(0, 32), r"normals \(0, 32\), expected finite ones"),
        (torch.zeros(32), r"normals \(32,\), expected finite ones"),
        (torch.full((4, 32), torch.nan), r"normals \(4, 32\), expected finite ones"),
    ],
)
def test_a_model_without_whole_normals_is_refused(
    tmp_path: Path, normals: torch.Tensor | None, message: str
) -> None:
    judged, best = windows(range(5)), {"networks": {}, "epoch": 0, "criterion": 0.5}
    scans, rule = np.repeat("a", 5), WindowRule(size=16)
    given = [windows(range(9))]
    model = calibrated_model(SHAPE, best, SETTINGS, given, [judged], scans, rule, 0.1, {})
    replace(model, normals=normals).save(tmp_path / "model.pt")
    with pytest.raises(
        InputError, match=rf"model\.pt: incomplete or foreign model file: {message}"
    ):
        TrainedModel.load(tmp_path / "model.pt")


def test_a_window_is_explained_by_its_rarest_term() -> None:
    normals = np.stack([with_disc(radius) for radius in (1, 2, 3, 4) for _ in range(25)])
    detector = fitted_detector(SHAPE, {}, SETTINGS, [normals])
    largest, small = detector.explain(np.stack([with_disc(14), with_disc(3)]))
    assert largest == "metal at least 21 pixels thick: denser than in all 100 normal windows"
    assert small == "metal at least 5 pixels thick: denser than in 49.5% of normal windows"
    twice = np.minimum(np.roll(with_disc(3), 20, axis=1), with_disc(3))
    (full,) = detector.explain(twice[None])
    assert full == "metal at least 5 pixels thick: more than in all 100 normal windows"
    many = np.stack([with_disc(1)] * 3999 + [with_disc(14)])
    (rare,) = fitted_detector(SHAPE, {}, SETTINGS, [many]).explain(with_disc(14)[None])
    assert rare == "metal at least 21 pixels thick: denser than in 99.9% of normal windows"
    assert detector.explain(np.full((1, 64, 64, 3), 230, dtype=np.uint8)) == [""]


def test_it_learns_nothing_before_it_has_seen_normals() -> None:
    detector = Detector(GranulometryScorer({}, SETTINGS))
    with pytest.raises(ValueError, match="zip"):
        detector.score([windows(range(2))])
    detector.fit([windows(range(5))])
    assert len(detector.score([windows(range(2))]).anomaly) == 2
