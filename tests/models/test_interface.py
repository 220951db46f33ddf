"""What holds of every method."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from experiments.paper.reference_scoring import reference_terms
from pipeline.common.errors import InputError
from pipeline.common.names import TRAIN as TRAIN_SPLIT
from pipeline.common.names import VALIDATION
from pipeline.models.detector import build_detector
from pipeline.models.gan import build_gan, network_state
from pipeline.models.pixels import to_tensor
from pipeline.models.trained_model import calibrated_model
from pipeline.patches.store import PatchStore
from pipeline.settings.methods import MethodName
from pipeline.settings.model import LAMBDAS
from pipeline.settings.windows import WindowRule
from pipeline.training.criterion import IMPLANT_AUC, load_validation
from pipeline.training.loop import Metrics, State, TrainSettings, Worker, net_shape, train
from tests.comparing import same
from tests.darkness import DarknessScorer
from tests.models.methods import METHODS, method_named, settings_of
from tests.models.plain import SHAPE, double_gan, some_batch
from tests.tiny import LOSSES, MODEL

LOSSES_6 = replace(LOSSES, latent_dim=6)
PATCHES = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", METHODS)
def test_every_network_moves(name: MethodName) -> None:
    gan = double_gan(name)
    before = copy.deepcopy(gan.networks)
    losses = method_named(name).train_step(gan, some_batch(), LOSSES_6)
    assert {"loss_g", "loss_d"} <= losses.keys()
    for key, network in gan.networks.items():
        for (weight, new), old in zip(
            network.named_parameters(), before[key].parameters(), strict=True
        ):
            assert not torch.equal(new, old), (key, weight)


@pytest.mark.parametrize("name", METHODS)
def test_the_seed_alone_decides_the_weights(name: MethodName) -> None:
    build = method_named(name).build_networks
    first, again, other = (network_state(build(SHAPE, seed)) for seed in (5, 5, 6))
    assert same(first, again)
    assert not same(first, other)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_resumed_equals_uninterrupted_and_the_best_epoch_scores_as_it_did(
    patches: Path, name: MethodName
) -> None:
    settings = TrainSettings(settings_of(name), LOSSES, epochs=2, seed=3)
    store, normals = PatchStore(patches, TRAIN_SPLIT), PatchStore(patches, VALIDATION)
    validation = load_validation(normals, seed=0, labelled=None)
    states: list[State] = []

    def keep(_metrics: Metrics, state: State) -> None:
        states.append(copy.deepcopy(state))

    whole = train(settings, store, validation, Worker(), keep)
    resumed = train(settings, store, validation, Worker(), keep, resume=states[0])
    assert same(resumed, whole)
    detector = build_detector(net_shape(settings, store), whole["best"]["networks"], settings.model)
    assert validation(detector)[IMPLANT_AUC] == whole["best"]["criterion"]


@pytest.mark.parametrize("name", METHODS)
def test_a_patch_s_scores_do_not_depend_on_its_batch(name: MethodName) -> None:
    networks = method_named(name).build_networks(SHAPE, 0)
    method = method_named(name)
    gan = build_gan(networks, MODEL)
    x = to_tensor(PATCHES, torch.device("cpu"))
    method.train_step(gan, x, LOSSES_6)  # running statistics of its own
    detector = build_detector(SHAPE, network_state(networks), settings_of(name))
    together = detector.score([PATCHES])
    alone = [detector.score([patch[None]]) for patch in PATCHES]
    for term, values in together.terms.items():
        np.testing.assert_allclose(values, [one.terms[term][0] for one in alone], rtol=1e-4)
    np.testing.assert_allclose(together.anomaly, [one.anomaly[0] for one in alone], rtol=1e-4)
    features = [detector.features(patch[None])[0] for patch in PATCHES]
    np.testing.assert_allclose(detector.features(PATCHES), features, rtol=1e-4, atol=1e-5)
    x_hats = np.asarray(detector.reconstruct(PATCHES), dtype=int)
    for patch, x_hat in zip(PATCHES, x_hats, strict=True):
        np.testing.assert_allclose(np.asarray(detector.reconstruct(patch[None]))[0], x_hat, atol=1)


@pytest.mark.parametrize("name", METHODS)
def test_the_residual_is_how_far_the_reconstruction_is(name: MethodName) -> None:
    """In the mean over a patch, or added up."""
    method, settings, x = method_named(name), settings_of(name), some_batch()
    scorer = method.scorer(double_gan(name).networks, settings).eval().double()
    x_hat = scorer.reconstruct(x)
    assert x_hat is not None
    distances = (x - x_hat).abs().mean(dim=(1, 2, 3))
    found = scorer.terms(x)["residual"]
    scale = round((found[0] / distances[0]).item())
    assert scale in (1, x[0].numel())
    torch.testing.assert_close(found, scale * distances, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", METHODS)
def test_folded_networks_score_the_same(name: MethodName) -> None:
    method, settings = method_named(name), settings_of(name)
    networks = method.build_networks(SHAPE, 0)
    method.train_step(build_gan(networks, MODEL), some_batch().float(), LOSSES_6)
    folded = build_detector(SHAPE, network_state(networks), settings).scorer
    x = some_batch().float()
    plain = method.scorer({n: network.eval() for n, network in networks.items()}, settings)
    for term, expected in plain.eval().terms(x).items():
        torch.testing.assert_close(folded.terms(x)[term], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_model_scores_the_same(name: MethodName, tmp_path: Path) -> None:
    networks = network_state(method_named(name).build_networks(SHAPE, 0))
    best = {"networks": networks, "epoch": 1, "criterion": 0.5}
    scans, rule = np.repeat("a", len(PATCHES)), WindowRule(size=SHAPE.side)
    model = calibrated_model(SHAPE, best, settings_of(name), [], [PATCHES], scans, rule, 0.1, {})
    model.save(tmp_path / "model.pt")
    loaded = type(model).load(tmp_path / "model.pt")
    expected = model.detector().score([PATCHES]).anomaly
    np.testing.assert_array_equal(loaded.detector().score([PATCHES]).anomaly, expected)


def test_an_option_that_a_method_does_not_have_is_refused() -> None:
    for name, option, value, default in (
        ("egbad", "search_steps", 9, 500),
        ("egbad", "latent_score", "neighbours", "distance"),
        ("ganomaly", "latent_score", "neighbours", "distance"),
    ):
        expected = f"{default}: {name} has no such option"
        with pytest.raises(InputError, match=f"^{option}: got {value!r}, expected {expected}$"):
            replace(MODEL, method=name, **{option: value})  # type: ignore[arg-type]


def test_an_option_that_a_method_has_is_taken() -> None:
    for name, option, value in (
        ("skip_ganomaly", "latent_score", "neighbours"),
        ("anogan", "search_steps", 9),
    ):
        settings = replace(MODEL, method=name, **{option: value})  # type: ignore[arg-type]
        assert getattr(settings, option) == value


class DarkAndBright(DarknessScorer):
    """Scores by two terms."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = {"darkness": 0.5, "brightness": 3.0}

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        return super().terms(x) | {"brightness": x.mean(dim=(1, 2, 3))}


def test_a_score_is_the_weighted_sum_of_its_terms() -> None:
    scorer, x = DarkAndBright(), torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1, 1)
    assert scorer.anomaly(scorer.terms(x)).tolist() == [127.5 - 3, 127.5 / 2, 3]
    reference = reference_terms(scorer, x)
    assert {name: term.tolist() for name, term in reference.items()} == {
        "darkness": [255, 127.5, 0],
        "brightness": [-1, 0, 1],
    }


@pytest.mark.parametrize("name", METHODS)
def test_weights_that_a_method_does_not_have_count_as_0_and_change_nothing(
    name: MethodName,
) -> None:
    method = method_named(name)
    effective = method.effective(LOSSES_6)
    unused = method.unused_lambdas()
    assert {n for n in LAMBDAS if getattr(effective, n) == 0} == unused
    found = []
    for weights in (LOSSES_6, effective):
        gan = double_gan(name)
        torch.manual_seed(0)
        method.train_step(gan, some_batch(), weights)
        found.append(network_state(gan.networks))
    assert same(found[0], found[1])
