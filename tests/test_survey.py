from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common import terminal
from pipeline.common.names import TEST, TRAIN, VALIDATION
from pipeline.scans.bad_input import BadInput
from pipeline.scans.classes import ClassMap
from pipeline.scans.scan import Scan, ScanEntry, ScanSource
from pipeline.scans.sources.class_folders import ClassFolderSource
from pipeline.scans.sources.yolo import YoloSource
from pipeline.scans.survey import (
    BLOCK,
    HASH_SIDE,
    NEAR_BITS,
    near_pairs,
    perceptual_hash,
    survey_scans,
    write_near_duplicates,
)
from tests.sources.sets import GUN, noise, write_set
from tests.tiny import write_image


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
    perceptual_hashes = base[generator.integers(0, 3, count)] ^ flips
    splits = generator.choice([TRAIN, VALIDATION, TEST], count).tolist()
    expected = [
        (i, j, bits)
        for i in range(count)
        for j in range(i + 1, count)
        if splits[i] != splits[j]
        and (bits := int((perceptual_hashes[i] != perceptual_hashes[j]).sum())) <= NEAR_BITS
    ]
    assert list(map(tuple, near_pairs(perceptual_hashes, splits).tolist())) == expected


def test_hashes_that_differ_in_40_bits_are_near() -> None:
    bits = np.random.default_rng(0).random(HASH_SIDE**2) < 0.5
    far, further = (bits ^ (np.arange(bits.size) < count) for count in (40, 41))
    assert near_pairs(np.array([bits, far]), [TRAIN, TEST]).tolist() == [[0, 1, 40]]
    assert near_pairs(np.array([bits, further]), [TRAIN, TEST]).tolist() == []


@pytest.mark.slow
def test_pairs_across_blocks_are_found() -> None:
    generator = np.random.default_rng(0)
    perceptual_hashes = generator.random((2 * BLOCK + 2, HASH_SIDE**2)) < 0.5
    splits = [TRAIN, TEST] * (BLOCK + 1)  # a block of each, and one scan more
    ends = [[0, 2 * BLOCK + 1], [1, 4], [5, 2 * BLOCK]]
    for first, second in ends:
        perceptual_hashes[second] = perceptual_hashes[first]
    found = near_pairs(perceptual_hashes, splits)
    assert found.tolist() == [[*pair, 0] for pair in ends]


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
    found = survey_scans(source, source.listing().entries)
    assert found.bad == []
    splits = {f"normal/{name}": TRAIN for name in "0123"} | {"normal/again": TEST}
    assert write_near_duplicates(tmp_path / "near.csv", found, splits) == 1
    header, line = (tmp_path / "near.csv").read_text().splitlines()
    assert header == "scan,split,near,near_split,bits"
    assert line.startswith("normal/2,train,normal/again,test,")
    assert write_near_duplicates(tmp_path / "near.csv", found, dict.fromkeys(splits, TRAIN)) == 0


def set_of(folder: Path, images: dict[str, np.ndarray]) -> ClassFolderSource:
    for name, image in images.items():
        write_image(folder / name, image)
    return ClassFolderSource(folder, ClassMap({"normal": "normal", "knife": "knife"}))


def test_of_equal_pictures_the_first_is_kept_or_none_where_their_objects_differ(
    tmp_path: Path,
) -> None:
    one, other = picture(0), picture(1)
    images = {"knife/a.png": one, "knife/b.png": one, "normal/c.png": other, "normal/d.png": other}
    source = set_of(tmp_path, {**images, "knife/e.png": other, "normal/f.png": picture(2)})
    found = survey_scans(source, source.listing().entries)
    assert [entry.scan_id for entry in found.entries] == ["knife/a", "normal/f"]
    assert [scan.objects for scan in found.scans] == [{"knife": 1}, {}]
    c, d, e = (str(tmp_path / name) for name in ("normal/c.png", "normal/d.png", "knife/e.png"))
    others = "the same image as {}, {}, with other objects: keep the right one"
    assert found.bad == [
        BadInput(
            f"{tmp_path}/knife/b.png", f"the same image as {tmp_path}/knife/a.png: remove one"
        ),
        BadInput(e, others.format(c, d)),
        BadInput(c, others.format(e, d)),
        BadInput(d, others.format(e, c)),
    ]


@pytest.mark.parametrize(
    ("labels", "same"),
    [
        (f"{GUN}\n", True),
        (f"{GUN}\n{GUN}\n", False),
        ("0 0.5 0.3125 0.4 0.375\n", False),
        ("1 0.4 0.3125 0.4 0.375\n", False),
    ],
)
def test_equal_pictures_with_more_objects_or_elsewhere_differ(
    tmp_path: Path, labels: str, same: bool
) -> None:
    image = noise(0)
    write_set(tmp_path, {"images/a.png": image, "labels/a.txt": GUN, "images/b.png": image,
                         "labels/b.txt": labels, "data.yaml": "names: [gun, knife]"})  # fmt: skip
    source = YoloSource(tmp_path, ClassMap({"*": "threat"}))
    found = survey_scans(source, source.listing().entries)
    assert [entry.scan_id for entry in found.entries] == ["images/a"] * same
    assert len(found.bad) == (1 if same else 2)


def test_equal_pictures_of_other_classes_differ_even_without_a_mask(tmp_path: Path) -> None:
    entries = [
        ScanEntry(name, (write_image(tmp_path / f"{name}.png", noise(0)),), classes)
        for name, classes in (("a", ("gun",)), ("b", ()))
    ]
    source = SimpleNamespace(read=lambda entry: Scan(entry.scan_id, noise(0), ()))
    found = survey_scans(cast(ScanSource, source), entries)
    assert (found.entries, len(found.bad)) == ([], 2)


def test_pictures_of_equal_bytes_and_other_shapes_are_not_equal(tmp_path: Path) -> None:
    images = {
        f"normal/{height}.png": np.full((height, 12 // height, 1), 7, dtype=np.uint8)
        for height in (2, 3, 6)
    }
    source = set_of(tmp_path, images)
    found = survey_scans(source, source.listing().entries)
    assert (len(found.entries), found.bad) == (3, [])


def test_a_scan_that_cannot_be_read_is_bad_and_its_progress_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0)
    source = set_of(tmp_path, {"normal/a.png": picture(0), "normal/b.png": picture(1)})
    entries = source.listing().entries
    (tmp_path / "normal/b.png").unlink()
    found = survey_scans(source, entries)
    assert found.entries == entries[:1]
    reason = "cannot be read: No such file or directory"
    assert found.bad == [BadInput(str(tmp_path / "normal/b.png"), reason)]
    assert "survey: 2 of 2, " in capsys.readouterr().err


@pytest.mark.parametrize(("channels", "rounded"), [(1, 0), (2, 0), (3, 2)])
def test_a_likeness_is_the_low_frequencies_above_their_median(channels: int, rounded: int) -> None:
    side = 4 * HASH_SIDE
    image = picture(3, channels)[:side, :side]
    grey = image @ ([1.0], [0.5, 0.5], [0.299, 0.587, 0.114])[channels - 1]
    pixels = np.floor(grey) if channels == 2 else np.round(grey)
    steps = np.pi / side * np.outer(np.arange(HASH_SIDE), np.arange(side) + 0.5)
    low = np.cos(steps) @ pixels @ np.cos(steps).T
    expected = (low > np.median(low)).ravel()
    assert (perceptual_hash(image) != expected).sum() <= rounded  # OpenCV's grey has other halves


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 3), (20, 30_000, 1), (3, 2, 2)])
def test_scans_of_any_shape_have_a_likeness(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert perceptual_hash(image).shape == (HASH_SIDE**2,)
