from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.names import TEST, TRAIN
from pipeline.scans.sources.class_folders import ClassFolderSource
from pipeline.scans.sources.classes import ClassMap
from pipeline.scans.survey import (
    BLOCK,
    HASH_SIDE,
    NEAR_BITS,
    near_pairs,
    perceptual_hash,
    survey,
    write_near_duplicates,
)
from tests.conftest import write_image


def picture(seed: int, channels: int = 3) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, channels), dtype=np.uint8)
    return cv2.resize(coarse, (240, 180), interpolation=cv2.INTER_CUBIC).reshape(180, 240, channels)


@given(
    count=st.integers(0, 30),
    seed=st.integers(0, 99),
)
def test_pairs_are_those_of_a_plain_loop(count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    base = generator.random((3, HASH_SIDE**2)) < 0.5
    flips = generator.random((count, HASH_SIDE**2)) < 0.05
    likenesses = base[generator.integers(0, 3, count)] ^ flips
    splits = generator.choice([TRAIN, TEST], count).tolist()
    expected = [
        (i, j, bits)
        for i in range(count)
        for j in range(i + 1, count)
        if splits[i] != splits[j]
        and (bits := int((likenesses[i] != likenesses[j]).sum())) <= NEAR_BITS
    ]
    assert list(map(tuple, near_pairs(likenesses, splits).tolist())) == expected


def test_pairs_across_blocks_are_found() -> None:
    generator = np.random.default_rng(0)
    likenesses = generator.random((BLOCK + 2, HASH_SIDE**2)) < 0.5
    likenesses[BLOCK + 1] = likenesses[3]
    splits = [TRAIN] * BLOCK + [TEST] * 2
    assert near_pairs(likenesses, splits).tolist() == [[3, BLOCK + 1, 0]]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_likeness_outlives_small_changes_and_tells_scans_apart(channels: int) -> None:
    image = picture(0, channels)
    likeness = perceptual_hash(image)
    smaller = cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA).reshape(120, 160, -1)
    brighter = np.clip(image.astype(int) + 9, 0, 255)
    for near in (smaller, brighter, image[1:, 1:]):
        assert (perceptual_hash(near.astype(np.uint8)) != likeness).sum() <= NEAR_BITS
    for seed in range(1, 20):
        assert (perceptual_hash(picture(seed, channels)) != likeness).sum() > NEAR_BITS


def test_near_duplicates_across_splits_are_listed(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "normal"
    for seed in range(4):
        write_image(folder / f"{seed}.png", picture(seed))
    write_image(folder / "again.jpg", picture(2))
    source = ClassFolderSource(tmp_path / "set", ClassMap({"normal": "normal"}))
    found = survey(source, source.listing().entries)
    assert found.bad == []
    splits = {f"normal/{name}": TRAIN for name in "0123"} | {"normal/again": TEST}
    assert write_near_duplicates(tmp_path / "near.csv", found, splits) == 1
    header, line = (tmp_path / "near.csv").read_text().splitlines()
    assert header == "scan,split,near,near_split,bits"
    assert line.startswith("normal/2,train,normal/again,test,")
    assert write_near_duplicates(tmp_path / "near.csv", found, dict.fromkeys(splits, TRAIN)) == 0


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 3), (20, 30_000, 1), (3, 2, 2)])
def test_scans_of_any_shape_have_a_likeness(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert perceptual_hash(image).shape == (HASH_SIDE**2,)
