"""A small trained model, for tests that only score."""

import numpy as np

from pipeline.models.gan import network_state
from pipeline.models.methods.skip_ganomaly.nets import build_networks
from pipeline.models.nets import NetShape
from pipeline.models.trained_model import TrainedModel, calibrated_model
from tests.tiny import EXTRACT, MODEL

SHAPE = NetShape(side=16, channels=3, ngf=4, ndf=4, latent_dim=5)


def make_model() -> TrainedModel:
    """A model of untrained networks, calibrated on noise of four scans."""
    best = {"networks": network_state(build_networks(SHAPE, 0)), "epoch": 1, "criterion": 0.5}
    normals = np.random.default_rng(0).integers(0, 200, (40, 16, 16, 3), dtype=np.uint8)
    scan_ids = np.repeat(["a", "b", "c", "d"], 10)
    rule = EXTRACT.window_rule
    return calibrated_model(SHAPE, best, MODEL, [], [normals], scan_ids, rule, 0.05, {})
