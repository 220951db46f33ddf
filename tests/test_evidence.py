"""The study of evidence: rules against scipy's, terms beside the method's, candidates, networks."""

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import stats

from experiments.detection import evidence, judging
from experiments.detection.evidence import evidence_scores, from_test, softened, uniformity_text
from experiments.detection.rules import RULES, fisher, harmonic, p_values
from experiments.detection.terms import pixel_terms, texture
from experiments.paper.cells import Size
from pipeline.models.detector import fitted_detector
from pipeline.models.methods.granulometry.openings import RADII
from pipeline.patches.store import PatchStore
from pipeline.settings.model import ModelSettings
from tests.arrays import clutter
from tests.models.plain import SHAPE

SIDE = 64


def drawn(count: int, seed: int) -> dict[str, np.ndarray]:
    """Terms of normals, in units and shapes that have nothing in common."""
    rng = np.random.default_rng(seed)
    return {
        "metal_mean_0": rng.exponential(1e-3, count),
        "dense_max_2": 1e3 * rng.normal(size=count),
    }


def test_p_values_of_new_normals_are_uniform() -> None:
    for name, values in p_values(drawn(4000, 0), drawn(2000, 1)).items():
        assert stats.kstest(values, "uniform").pvalue > 0.01, name
    said = uniformity_text(drawn(4000, 0), drawn(2000, 1))
    shares = [float(found) for found in re.findall(r"(?:median|highest) ([\d.]+)", said)]
    np.testing.assert_allclose(shares, [0.05, 0.05, 0.01, 0.01], atol=0.015)


def test_rules_against_scipy() -> None:
    found = np.random.default_rng(2).uniform(1e-4, 1, (5, 20))
    for column, row in zip(fisher(found), found.T, strict=True):
        assert 2 * 5 * column == pytest.approx(stats.combine_pvalues(row, "fisher").statistic)
    np.testing.assert_allclose(harmonic(found), -np.log(stats.hmean(found, axis=0)))


def test_the_chosen_candidate_is_the_method() -> None:
    normals, judged = (
        np.stack([clutter(seed, 3, 16, 16) for seed in seeds])
        for seeds in (range(40), range(40, 60))
    )
    settings = ModelSettings(1, 1, 1e-3, 0.9, method="granulometry")
    method = fitted_detector(SHAPE, {}, settings, [normals]).score([judged]).anomaly
    scores = evidence_scores(pixel_terms(normals), pixel_terms(judged), ["chosen", "metal"])
    assert set(scores) == {f"{name}, {rule}" for name in ("chosen", "metal") for rule in RULES}
    np.testing.assert_allclose(scores["chosen, fisher"], method)


def test_a_candidate_has_the_terms_of_its_name() -> None:
    names = list(pixel_terms(clutter(0, 3, 16, 16)[None]))
    count = 2 * len(RADII)
    held = {c: [n for n in names if keep(n)] for c, keep in evidence.CANDIDATES.items()}
    assert {name.split("_")[0] for name in held["chosen"]} == {"metal", "dense"}
    assert {c: len(kept) for c, kept in held.items()} == {
        "chosen": 2 * count, "metal": count, "dense": count, "means": count, "maxima": count,
        "radii 0 to 2": 12, "radii 0 to 4": 20, "radii 4 to 10": 16,
        "and attenuation": 3 * count, "and hue": 3 * count, "and texture": 2 * count + 5,
        "all": 4 * count + 5,
    }  # fmt: skip
    assert held["radii 4 to 10"][:2] == ["metal_mean_4", "metal_mean_6"]
    assert all("_mean_" in name for name in held["means"])


def test_the_other_maps_are_lack_of_white_and_more_blue_than_red() -> None:
    colour = np.full((1, 8, 8, 3), (100, 200, 180), np.uint8)
    found = pixel_terms(colour)
    assert found["attenuation_max_0"][0] == pytest.approx(95 / 255)
    assert found["hue_mean_0"][0] == pytest.approx(80 / 255)
    assert not any(name.startswith("hue") for name in pixel_terms(colour[..., :1]))


def test_texture_is_what_a_blur_takes_away() -> None:
    smooth = np.full((1, SIDE, SIDE, 3), 90, np.uint8)
    rough = smooth.copy()
    rough[:, ::2] = 110
    assert all(values[0] == pytest.approx(0, abs=1e-6) for values in texture(smooth).values())
    found = {name: values[0] for name, values in texture(rough).items()}
    assert found["variation"] == pytest.approx(10 / 255, rel=1e-5)  # of rows 20, of columns 0
    assert found["deviation"] == pytest.approx(10 / 255, rel=1e-5)
    assert found["detail_4"] == pytest.approx(10 / 255, rel=0.05)


def test_matched_windows_are_softer_and_as_bright() -> None:
    windows = np.stack([clutter(seed, 3, SIDE, SIDE) for seed in range(2)])
    found = softened(windows)
    assert found.shape == windows.shape
    assert found.dtype == np.uint8
    assert (texture(found)["detail_1"] < 0.6 * texture(windows)["detail_1"]).all()
    np.testing.assert_allclose(found.mean(axis=(1, 2)), windows.mean(axis=(1, 2)), atol=3)
    blurred = np.stack([cv2.GaussianBlur(window, (0, 0), evidence.BLUR) for window in windows])
    assert 0 < np.abs(found.astype(int) - blurred).mean() < 12  # by the compression


def test_validation_scans_stand_in_where_no_test_scan_is_normal(
    patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test, validation = PatchStore(patches, "test"), PatchStore(patches, "validation")
    assert len(from_test(patches).store) == len(test)
    monkeypatch.setattr(judging.WindowLabels, "normal_scans", lambda _: [])
    both = from_test(patches)
    assert len(both.store) == len(both.windows.scan_ids) == len(test) + len(validation)
    np.testing.assert_array_equal(
        both.store.read(len(test), len(both.store)), validation.read(0, len(validation))
    )
    assert not both.windows.abnormal[len(test) :].any()
    assert set(both.windows.scan_ids[len(test) :]) == set(validation.scan_ids)


@pytest.mark.slow
def test_networks_stand_beside_and_in_the_chosen_terms(
    patches: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judged: dict[str, np.ndarray] = {}
    monkeypatch.setattr(evidence, "scores_text", lambda scores, *_: str(judged.update(scores)))
    monkeypatch.setattr(evidence, "NETWORK_SIZE", Size(ngf=2, latent_dim=4, epochs=1, batch_size=8))
    arguments = ["--patches", str(patches), "--networks", "--seeds", "3", "--candidates", "metal"]
    monkeypatch.setattr(sys, "argv", ["evidence", *arguments, "chosen"])
    evidence.main()
    assert "p <= 0.05" in capsys.readouterr().out
    chosen, alone, both = (
        judged[f"{name}, fisher"] for name in ("chosen", "network 3 alone", "chosen and network 3")
    )
    count, own = 2 * 2 * len(RADII), 2 + len(evidence.SIGNED_RADII)
    np.testing.assert_allclose(both, (count * chosen + own * alone) / (count + own))
    assert "metal, harmonic" in judged
    assert "metal_amount" in judged
