from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from pipeline.common.errors import InputError
from pipeline.models.bag_scores import Tails
from pipeline.models.detector import Detector, build_detector, fitted_detector
from pipeline.models.gan import network_state
from pipeline.models.methods.skip_ganomaly.method import SkipGanomalyScorer
from pipeline.models.methods.skip_ganomaly.nets import build_networks
from pipeline.models.nets import NetShape
from pipeline.models.pixels import to_tensor
from pipeline.models.tensor_files import load_tensors, save_tensors
from pipeline.models.trained_model import Calibration, TrainedModel, calibrate, calibrated_model
from pipeline.settings.windows import WindowRule
from tests.darkness import DarknessScorer
from tests.tiny import MODEL

SHAPE = NetShape(side=16, channels=3, ngf=4, ndf=4, latent_dim=5)
CPU = torch.device("cpu")


SCANS_OF_40 = np.repeat(["a", "b", "c", "d"], 10)
RULE = WindowRule(size=16, stride=8)
ONE, TWO = torch.ones(1).double(), torch.tensor([2.0, 1.0]).double()
DOUBLES = build_networks(SHAPE, 0)["generator"].double().state_dict()


def some_patches(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def detector() -> Detector:
    networks = build_networks(SHAPE, 0)
    with torch.no_grad():  # running statistics that differ from a batch's own
        for _ in range(3):
            networks["discriminator"](networks["generator"](to_tensor(some_patches(16), CPU)))
    return Detector(SkipGanomalyScorer(networks, MODEL))


@pytest.fixture(scope="module")
def model(detector: Detector) -> TrainedModel:
    scorer = cast(SkipGanomalyScorer, detector.scorer)
    networks = network_state({"generator": scorer.generator, "discriminator": scorer.discriminator})
    best = {"networks": networks, "epoch": 2, "criterion": 0.7}
    return calibrated_model(
        SHAPE, best, MODEL, [], [some_patches(40)], SCANS_OF_40, RULE, 0.05, {"data": "d"}
    )


def test_equation_5_patch_by_patch(detector: Detector) -> None:
    patches = some_patches(7)
    scores = detector.score([patches[:3], patches[3:]])
    scorer = cast(SkipGanomalyScorer, detector.scorer)
    for row, patch in enumerate(patches):
        x = torch.from_numpy(patch.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        with torch.no_grad():
            x_hat = scorer.generator(x)
            f, f_hat = scorer.discriminator(x)[1], scorer.discriminator(x_hat)[1]
        residual = (x - x_hat).abs().mean().item()
        latent = (f - f_hat).square().sum().sqrt().item()
        assert scores.terms["residual"][row] == pytest.approx(residual, rel=1e-5)
        assert scores.terms["latent"][row] == pytest.approx(latent, rel=1e-4)
        assert scores.anomaly[row] == pytest.approx(0.9 * residual + 0.1 * latent, rel=1e-4)


def test_no_patches_give_no_scores(detector: Detector) -> None:
    assert detector.score([]).anomaly.shape == (0,)


def test_equation_6_by_stored_bounds() -> None:
    calibration = Calibration(minimum=2, maximum=4, threshold=3.5, false_alarm_rate=0.05)
    scaled = calibration.scale(np.array([2.0, 3.0, 4.0, 6.0]))
    np.testing.assert_allclose(scaled, [0, 0.5, 1, 2])
    assert calibration.scaled_threshold == 0.75


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (
            [1.0, 1.0],
            r"all validation scores are 1\.0, expected different ones: add validation scans",
        ),
        ([1.0, np.nan], r"expected finite scores: lower model\.learning_rate"),
        ([0.0, np.inf], r"run from 0\.0 to inf, expected finite scores"),
    ],
)
def test_scores_that_nothing_can_be_scaled_by_are_refused(
    scores: list[float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        calibrate(np.array(scores), 0.05)


def test_a_saved_model_scores_the_same(model: TrainedModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model.pt")
    loaded = TrainedModel.load(tmp_path / "model.pt")
    patches = some_patches(5)
    expected = model.detector().score([patches]).anomaly
    np.testing.assert_array_equal(loaded.detector().score([patches]).anomaly, expected)
    assert (loaded.shape, loaded.settings, loaded.normals) == (SHAPE, MODEL, None)
    assert loaded.networks.keys() == model.networks.keys()
    assert loaded.calibration == model.calibration
    assert loaded.rule == RULE
    anomaly = model.detector().score([some_patches(40)]).anomaly
    for name, tail in vars(Tails.of(anomaly, SCANS_OF_40)).items():
        kept = getattr(loaded.tails, name)
        assert kept.count == tail.count
        np.testing.assert_array_equal(kept.scores, tail.scores)
        np.testing.assert_array_equal(kept.reached, tail.reached)
    made = {"data": "d", "epoch": 2, "criterion": 0.7, "labelled_bags": 0}
    assert loaded.provenance == made


def test_reconstructions_are_the_generator_s_and_features_the_discriminator_s(
    detector: Detector,
) -> None:
    patches, scorer = some_patches(3), cast(SkipGanomalyScorer, detector.scorer)
    with torch.no_grad():
        x = to_tensor(patches, CPU)
        x_hat, features = scorer.generator(x), scorer.discriminator(x)[1]
    pixels = np.round((x_hat.permute(0, 2, 3, 1).numpy() + 1) / 2 * 255)
    found = np.asarray(detector.reconstruct(patches))
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found, pixels, atol=1)  # where a half is rounded
    assert np.mean(found == pixels) > 0.99
    np.testing.assert_allclose(detector.features(patches), features, rtol=1e-5)


def test_a_model_cut_short_is_named(model: TrainedModel, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    model.save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"model\.pt: incomplete or foreign file of tensors"):
        TrainedModel.load(path)
    with pytest.raises(InputError, match=r"none\.pt: no such file"):
        TrainedModel.load(tmp_path / "none.pt")


def test_values_run_from_minus_one_to_one() -> None:
    patches = np.array([0, 255], dtype=np.uint8).reshape(2, 1, 1, 1)
    assert to_tensor(patches, CPU).flatten().tolist() == [-1.0, 1.0]


def test_the_threshold_is_the_score_at_the_share_that_nothing_else_passes() -> None:
    anomaly = np.arange(11.0)[::-1].copy()  # 0 to 10
    for share, threshold in ((0.1, 9), (0.15, 9), (0.25, 8), (0, 10), (1, 0)):
        assert calibrate(anomaly, share) == Calibration(0, 10, threshold, share)


def test_a_model_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_tensors(path, {"format": 2})
    message = r"model\.pt: model format 2, expected 7: run `dvc repro train`$"
    with pytest.raises(InputError, match=message):
        TrainedModel.load(path)


@pytest.mark.parametrize(
    ("part", "key", "value", "reason"),
    [
        ("shape", "latent_dim", 10.5, "sizes"),
        ("shape", "ngf", 0, "sizes"),
        ("shape", "side", 48, "extract.size"),
        ("shape", "more", 1, ""),
        ("shape", "ngf", 1000, "discriminator|generator"),
        ("calibration", "minimum", float("nan"), "bounds"),
        ("calibration", "minimum", 1e9, "bounds"),
        ("calibration", "threshold", None, ""),
        ("settings", "method", "none", ""),
        ("networks", "generator", {}, "generator"),
        ("networks", "more", {"w": torch.zeros(3)}, "more.w"),
        ("networks", "generator", None, ""),
        ("networks", "generator", DOUBLES, "generator.*float64.*, expected .*float32"),
        ("rule", "size", 32, "windows of 32"),
        ("rule", "stride", 0, "stride"),
        ("tails", "bags", None, ""),
        ("tails", "bags", {"count": 2, "scores": ONE, "reached": ONE}, "tail"),
        ("tails", "bags", {"count": 1, "scores": ONE, "reached": ONE * 0}, "tail"),
        ("tails", "bags", {"count": 1, "scores": ONE.float(), "reached": ONE}, "tail"),
        ("tails", "bags", {"count": 1, "scores": ONE * torch.inf, "reached": ONE}, "tail"),
        ("tails", "windows", {"count": 3, "scores": -TWO, "reached": TWO}, "tail"),
        ("tails", "windows", {"count": 2, "scores": TWO, "reached": TWO}, "tail"),
        ("tails", "windows", {"count": 2, "scores": ONE, "reached": TWO}, "tail"),
    ],
)
def test_a_model_whose_parts_do_not_fit_is_refused_before_it_takes_memory(
    model: TrainedModel, tmp_path: Path, part: str, key: str, value: object, reason: str
) -> None:
    path = tmp_path / "model.pt"
    model.save(path)
    content = load_tensors(path)
    save_tensors(path, {**content, part: {**content[part], key: value}})
    with pytest.raises(
        InputError, match=rf"model\.pt: incomplete or foreign model file: .*({reason})"
    ) as error:
        TrainedModel.load(path)
    assert str(error.value).endswith(": run `dvc repro train`")
    assert "\n" not in str(error.value)


def test_a_model_is_calibrated_by_what_its_own_detector_scores(model: TrainedModel) -> None:
    anomaly = model.detector().score([some_patches(40)]).anomaly
    assert model.calibration == calibrate(anomaly, 0.05)
    assert model.calibration.false_alarm_rate == 0.05


def test_long_blocks_are_scored_in_batches_of_64(detector: Detector) -> None:
    patches = some_patches(150)
    sizes = []
    hook = detector.scorer.generator.register_forward_hook(  # type: ignore[union-attr]
        lambda _module, inputs, _output: sizes.append(len(inputs[0]))
    )
    scores = detector.score([patches[:140], patches[140:]])
    hook.remove()
    assert sizes == [64, 64, 12, 10]
    np.testing.assert_allclose(scores.anomaly[139], detector.score([patches[139:140]]).anomaly[0])


NEIGHBOURS = replace(MODEL, latent_score="neighbours")


def of_distances_from(normals: np.ndarray) -> TrainedModel:
    """A model that compares with the normals by which it is calibrated."""
    best = {"networks": network_state(build_networks(SHAPE, 0)), "epoch": 1, "criterion": 0.5}
    scans = np.repeat("a", len(normals))
    return calibrated_model(SHAPE, best, NEIGHBOURS, [normals], [normals], scans, RULE, 0.1, {})


def test_distances_are_from_the_normals_that_a_detector_is_fitted_to(tmp_path: Path) -> None:
    normals = some_patches(80)
    model, blocks = of_distances_from(normals), [normals[:70], normals[70:]]
    detector = fitted_detector(SHAPE, model.networks, NEIGHBOURS, blocks, CPU)
    patches = some_patches(90)[80:]
    expected = detector.score([patches])
    assert model.normals is not None
    features = np.concatenate([detector.features(normals[:64]), detector.features(normals[64:])])
    np.testing.assert_array_equal(model.normals, features)
    model.save(tmp_path / "model.pt")
    model = TrainedModel.load(tmp_path / "model.pt")
    np.testing.assert_array_equal(model.detector().score([patches]).anomaly, expected.anomaly)
    # The distances themselves are tested in tests/models/test_neighbours.py.
    assert not np.allclose(expected.terms["latent"], 0)


def test_a_model_whose_distances_are_from_normals_has_them(tmp_path: Path) -> None:
    replace(of_distances_from(some_patches(20)), normals=None).save(tmp_path / "model.pt")
    with pytest.raises(InputError, match="the normals that scores compare with are missing"):
        TrainedModel.load(tmp_path / "model.pt")


def test_a_detector_that_fits_nothing_to_normals_reads_none() -> None:
    blocks = iter([some_patches(1)])
    networks = network_state(build_networks(SHAPE, 0))
    assert fitted_detector(SHAPE, networks, MODEL, blocks).scorer.normals is None
    assert len(list(blocks)) == 1


class Exaggerating(DarknessScorer):
    """Reconstructs a patch with twice its contrast, out of the range of pixels."""

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def test_reconstructions_stay_in_the_range_of_pixels() -> None:
    patches = np.array([0, 64, 100, 128, 192, 255], dtype=np.uint8).reshape(6, 1, 1, 1)
    found = np.asarray(Detector(Exaggerating()).reconstruct(patches)).flatten()
    np.testing.assert_allclose(found, [0, 0.5, 72.5, 128.5, 255, 255], atol=0.5)


def test_a_detector_is_on_the_device_that_is_asked_for() -> None:
    networks = network_state(build_networks(SHAPE, 0))
    here = torch.device("cpu", 0)
    assert build_detector(SHAPE, networks, MODEL, here).device == here
    assert build_detector(SHAPE, networks, MODEL).device == CPU
