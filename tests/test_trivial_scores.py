import numpy as np
import pytest

from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES

PATCHES = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)


def slow(name: str, patch: np.ndarray) -> float:
    x = patch / 255
    if name == "darkness":
        return 1 - float(np.mean(x))
    if name == "dense_amount":
        return float(np.mean([max(0.3 - v, 0) for v in x.flat]))
    if name == "metal_amount":
        return float(np.mean([max(0.5 - v, 0) for v in x[:, :, 0].flat]))
    if name == "standard_deviation":
        return float(np.sqrt(np.mean((x - x.mean()) ** 2)))
    rows = np.mean([abs(x[i + 1, j] - x[i, j]) for i in range(5) for j in range(5)])
    columns = np.mean([abs(x[i, j + 1] - x[i, j]) for i in range(6) for j in range(4)])
    return float(rows + columns) / 2


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("name", TRIVIAL_SCORES)
def test_against_a_slow_reference(name: str, channels: int) -> None:
    patches = PATCHES[..., :channels]
    expected = [slow(name, patch) for patch in patches]
    np.testing.assert_allclose(TRIVIAL_SCORES[name](patches), expected, atol=1e-7)
