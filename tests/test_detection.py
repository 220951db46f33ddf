"""What training adds on labelled validation scans, and the supervised line beside it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from experiments.detection import ceiling, compare, judging, projection
from experiments.detection import cifar as cifar_study
from experiments.paper.cells import Size, settings_of
from experiments.paper.table1 import Cifar
from pipeline.common.names import (
    LABELLED_TRAINING,
    LABELLED_VALIDATION,
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
)
from pipeline.evaluation.trivial_scores import total_variation
from pipeline.patches.store import PatchStore
from pipeline.patches.windows import keep_windows
from pipeline.scans.generated.generator import render_scan
from pipeline.settings.windows import WindowRule

SIZE = Size(ngf=2, latent_dim=4, epochs=1, batch_size=8)


def test_neighbour_distance_is_that_of_a_slow_search() -> None:
    generator = np.random.default_rng(0)
    normals, features = (
        generator.normal(size=(30, 4)) * [1, 10, 0.1, 3],
        generator.normal(size=(7, 4)),
    )
    scaled, scaled_normals = features / normals.std(axis=0), normals / normals.std(axis=0)
    slow = [
        np.mean(sorted(np.linalg.norm(normal - row) for normal in scaled_normals)[:5])
        for row in scaled
    ]
    np.testing.assert_allclose(compare.neighbour_distance(features, normals), slow)


@pytest.mark.slow
def test_early_neighbours_stand_beside_the_method_as_printed_on_cifar_10(
    cifar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar_study, "SAMPLES", 3)
    data = Cifar(cifar, SIZE)
    head, row, mean = (line.split() for line in cifar_study.lines(data, ["cat"], [1]))
    assert (head[:2], row[:2]) == (["case", "seed"], ["cat", "1"])
    parts = data.case("cat")
    scores = cifar_study.scores_of(parts, SIZE, seed=1)
    for found, average, each in zip(row[2:4], mean[1:], scores, strict=True):
        expected = roc_auc_score(~parts.test.normal, each)
        assert float(found) == float(average) == pytest.approx(expected, abs=5e-4)


def test_thumbnails_are_means_of_cells() -> None:
    patches = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    found = compare.thumbnails(patches).reshape(3, 8, 8, 3)
    np.testing.assert_allclose(found[2, 5, 1], patches[2, 20:24, 4:8].mean(axis=(0, 1)))


@pytest.mark.slow
def test_scores_are_of_the_labelled_validation_windows_and_no_test_window_is_read(
    patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    whole = PatchStore.read

    def noted(store: PatchStore, start: int, stop: int) -> np.ndarray:
        read.append(store.split)
        return whole(store, start, stop)

    monkeypatch.setattr(PatchStore, "read", noted)
    judged = compare.labelled(patches)
    scores, windows = compare.all_scores(patches, judged, SIZE, seed=0), judged.windows
    assert set(read) == set(SPLITS) - {LABELLED_TRAINING, TEST}
    labelled = PatchStore(patches, LABELLED_VALIDATION)
    assert windows.abnormal.sum() == (labelled.labels != "normal").sum() > 0
    for name, found in scores.items():
        assert found.shape == (len(labelled),), name
        assert np.isfinite(found).all(), name
    weighted = 0.9 * scores["residual"] + 0.1 * scores["latent"]
    np.testing.assert_allclose(scores["anomaly_score"], weighted)


@pytest.mark.slow
def test_what_is_trained_differs_from_what_is_not(patches: Path) -> None:
    normals = PatchStore(patches, TRAIN)
    seen = normals.read(0, 32)
    settings = settings_of("skip_ganomaly", SIZE, 0)
    model = compare.trained(settings, normals, PatchStore(patches, VALIDATION))

    def features_of_untrained(seen: np.ndarray) -> np.ndarray:
        early = compare.scored_by(settings, "early_neighbours")
        return compare.untrained(early, normals, seen).features(patch)

    patch = seen[:1]
    plain = features_of_untrained(seen)
    assert not np.allclose(plain, model.features(patch))
    np.testing.assert_array_equal(plain, features_of_untrained(seen))
    # Batch-norm has the statistics of what it saw.
    assert not np.allclose(plain, features_of_untrained(np.full_like(seen, 9)))


@pytest.mark.slow
def test_the_runner_prints_each_score_with_its_differences(
    patches: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["detection", "--patches", str(patches), "--seeds", "0", "--ngf", "2", "--epochs", "1"]
    monkeypatch.setattr(judging, "SAMPLES", 5)
    monkeypatch.setattr(sys, "argv", [*given, "--batch-size", "8", "--latent-dim", "4"])
    compare.main()
    rows = capsys.readouterr().out.splitlines()
    labelled = PatchStore(patches, LABELLED_VALIDATION)
    darkness = 1 - labelled.read(0, len(labelled)).mean(axis=(1, 2, 3)) / 255
    expected = roc_auc_score(~labelled.is_normal(), darkness)
    (row,) = [row for row in rows if row.startswith("darkness")]
    assert row.split()[1] == f"{expected:.3f}"
    (same,) = [row for row in rows if row.startswith(compare.UNTRAINED)]
    assert "+0.000 [+0.000 +0.000]" in same  # less itself


@pytest.mark.slow
def test_a_threat_is_laid_over_every_other_normal_and_darkens_it(patches: Path) -> None:
    store = PatchStore(patches, VALIDATION)
    normals = store.read(0, len(store))
    judged = compare.with_projected(patches)
    found, abnormal = judged.store.read(0, len(store)), judged.windows.abnormal
    assert abnormal.sum() == len(store) // 2
    np.testing.assert_array_equal(found[~abnormal], projection.compressed(normals[~abnormal]))
    bright, was_bright = (each[abnormal].mean(axis=(1, 2, 3)) for each in (found, normals))
    assert (bright < was_bright).all()
    over = projection.projected(normals[abnormal])
    np.testing.assert_array_equal(found[abnormal], projection.compressed(over))
    changed = (over != normals[abnormal]).any(axis=3).mean(axis=(1, 2))
    assert (changed > 0.05).all()
    assert np.median(changed) < 0.9  # the rest of a window is as it was
    np.testing.assert_array_equal(found, compare.with_projected(patches).store.read(0, len(store)))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_compressed_windows_lose_their_fine_noise_and_keep_their_colours(channels: int) -> None:
    colour = np.array([200, 120, 40], dtype=np.uint8)[:channels]
    flat = np.full((2, 64, 64, channels), colour)
    np.testing.assert_allclose(projection.compressed(flat).astype(int), flat, atol=3)
    noise = np.random.default_rng(0).integers(-4, 5, flat.shape)
    noisy = (flat + noise).astype(np.uint8)
    found = projection.compressed(noisy)
    assert found.shape == noisy.shape
    assert (total_variation(found) < 0.9 * total_variation(noisy)).all()


def test_threats_have_the_colour_of_what_has_the_least_red_at_their_brightness() -> None:
    grey, blue = [96, 96, 96], [32, 96, 160]
    patches = np.array([[grey] * 9 + [blue]], dtype=np.uint8).reshape(1, 2, 5, 3)
    colours = projection.metal_colours(patches)
    np.testing.assert_array_equal(colours[12], blue)
    np.testing.assert_allclose(colours[20], projection.LEVELS[20])


@pytest.mark.slow
def test_windows_to_learn_from_are_those_of_the_rule() -> None:
    rule = WindowRule(size=64, stride=64)
    abnormal, normal = ceiling.rendered_windows(7, rule)  # the seventh has a knife
    labels = [keep_windows(render_scan(ceiling.SEED, n), rule).labels for n in range(7)]
    assert len(abnormal) == sum(label != "normal" for each in labels for label in each) > 0
    assert len(normal) == sum(min(each.count("normal"), ceiling.PER_SCAN) for each in labels)


@pytest.mark.slow
def test_the_supervised_network_learns_what_can_be_told() -> None:
    generator = np.random.default_rng(0)
    normal = generator.integers(100, 256, (64, 32, 32, 3), dtype=np.uint8)
    abnormal = normal.copy()
    abnormal[:, 8:24, 8:24] //= 3
    torch.manual_seed(0)
    network = ceiling.supervised_network(3)
    ceiling.fit(network, abnormal[:48], normal[:48], steps=12, seed=0)
    held_out = [ceiling.logits(network, patches[48:]) for patches in (normal, abnormal)]
    assert held_out[0].max() < held_out[1].min()
