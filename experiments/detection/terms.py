"""Terms of a window that need no network: those of the method granulometry, and others beside them.

The maps *metal* and *dense* are the method's. *attenuation* is what brightness lacks of white, and
*hue* how much blue there is more than red: in pseudo-colour metal is blue. Grey has no hue.
"""

from collections.abc import Mapping

import cv2
import numpy as np

from pipeline.common.names import Patches, Scores
from pipeline.models.attenuation import MAPS, attenuation_maps
from pipeline.models.methods.granulometry.openings import RADII, STATISTICS, granulometry

BLURS = (1, 2, 4)  # sigma, pixels


def pixel_terms(patches: Patches) -> Mapping[str, Scores]:
    """Return every term of patches (N, S, S, C) uint8, (N,) each, from 0 to 1."""
    return {**opened_terms(patches), **texture(patches)}


def opened_terms(patches: Patches) -> dict[str, Scores]:
    """Return mean and maximum of four maps, opened by discs, as `metal_mean_0` and so on."""
    brightness = patches.mean(axis=3, dtype=np.float32)
    others = {"attenuation": 255 - brightness}
    if patches.shape[3] > 1:
        others["hue"] = patches[..., -1] - patches[..., 0].astype(np.float32)
    added = np.maximum(np.stack(list(others.values()), axis=3), 0).astype(np.uint8)
    found = granulometry(np.concatenate([attenuation_maps(patches), added], axis=3))
    return {
        f"{name}_{statistic}_{radius}": found[:, i, j, k].astype(np.float64)
        for i, name in enumerate((*MAPS, *others))
        for j, statistic in enumerate(STATISTICS)
        for k, radius in enumerate(RADII)
    }


def texture(patches: Patches) -> dict[str, Scores]:
    """Return total variation, standard deviation and the detail that blurs remove, (N,), 0 to 1."""
    brightness = patches.mean(axis=3, dtype=np.float32) / np.float32(255)
    variation = [np.abs(np.diff(brightness, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)]
    found = {"variation": np.mean(variation, axis=0), "deviation": brightness.std(axis=(1, 2))}
    for sigma in BLURS:
        blurred = [cv2.GaussianBlur(image, (0, 0), sigma) for image in brightness]
        found[f"detail_{sigma}"] = np.array(
            [np.abs(a - b).mean() for a, b in zip(brightness, blurred, strict=True)]
        )
    return {name: values.astype(np.float64) for name, values in found.items()}
