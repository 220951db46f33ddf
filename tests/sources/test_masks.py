import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.common.names import IGNORED
from pipeline.scans.bad_input import BadInput
from pipeline.scans.classes import ClassMap
from pipeline.scans.sources.masks import SIXRAY, MasksSource, connected_components
from tests.sources.bad_files import assert_one_bad
from tests.tiny import make_sixray, write_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_sixray(tmp_path, normal=2, threat=2)


def test_scans_with_their_regions(folder: Path) -> None:
    source = MasksSource(folder, SIXRAY, stretched=True)
    entries = {entry.scan_id: entry for entry in source.listing().entries}
    assert list(entries) == ["normal/n00", "normal/n01", "threat/t02", "threat/t03"]
    assert entries["normal/n00"].classes == ()
    assert entries["threat/t02"].classes == ("gun",)
    assert source.read(entries["normal/n00"]).regions == ()
    scan = source.read(entries["threat/t03"])
    assert scan.image.shape == (48, 64, 3)
    (region,) = scan.regions
    assert region.class_name == "knife"
    # The mask is half the scan's size, so rows 8 to 13 become 16 to 27.
    rows, columns = np.nonzero(region.mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 27, 12, 35)


def test_a_stretched_mask_takes_the_value_below_the_centre_of_each_pixel(folder: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 3, (20, 23), dtype=np.uint8)
    write_image(folder / "masks" / "t02.png", mask)
    source = MasksSource(folder, SIXRAY, stretched=True)
    regions = source.read(source.listing().entries[2]).regions
    rows, columns = (np.arange(48) + 0.5) * 20 // 48, (np.arange(64) + 0.5) * 23 // 64
    expected = mask[np.ix_(rows.astype(int), columns.astype(int))]
    for value, name in ((1, "gun"), (2, "knife")):
        found = np.any([region.mask for region in regions if region.class_name == name], axis=0)
        np.testing.assert_array_equal(found, expected == value)


def test_every_connected_part_is_a_region(folder: Path) -> None:
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[2:6, 2:6], mask[20:30, 20:30], mask[40:44, 2:6] = 1, 1, 2
    write_image(folder / "masks" / "t02.png", mask)
    source = MasksSource(folder, SIXRAY, stretched=True)
    entry = source.listing().entries[2]
    assert entry.classes == ("gun", "knife")
    found = [(region.class_name, int(region.mask.sum())) for region in source.read(entry).regions]
    assert found == [("gun", 16), ("gun", 100), ("knife", 16)]


@pytest.mark.parametrize(
    ("value", "reason"),
    [(9, "scans.classes: no meaning for 9"), (0, "an empty mask: put its scan into normal/")],
)
def test_an_unknown_class_and_an_empty_mask(
    folder: Path, capsys: pytest.CaptureFixture[str], value: int, reason: str
) -> None:
    path = write_image(folder / "masks" / "t02.png", np.full((4, 4), value, dtype=np.uint8))
    assert_one_bad(MasksSource(folder, SIXRAY, stretched=True), capsys, path, reason)


def test_a_mask_of_another_size(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("t02", "t03"):
        mask = cv2.imread(str(folder / "masks" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        assert mask is not None
        if name == "t02":
            mask = cv2.resize(mask, (64, 48), interpolation=cv2.INTER_NEAREST)
        write_image(folder / "masks" / f"{name}.png", mask)
    file = folder / "threat" / "t03.png"
    kept = assert_one_bad(
        MasksSource(folder, SIXRAY),
        capsys,
        file,
        "t03.png: annotated as 32x24, but the image is",
    )
    assert kept == ["normal/n00", "normal/n01", "threat/t02"]


def test_values_are_normal_abnormal_or_ignored(folder: Path) -> None:
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[2:6, 2:6], mask[20:30, 20:30], mask[40:44, 2:6] = 5, 6, 7
    write_image(folder / "masks" / "t02.png", mask)
    classes = ClassMap({1: "gun", 2: "knife", 5: "normal", 6: "ignore", 7: "razor"})
    source = MasksSource(folder, classes, stretched=True)
    entry = source.listing().entries[2]
    assert entry.classes == ("razor",)
    found = [(region.class_name, int(region.mask.sum())) for region in source.read(entry).regions]
    assert found == [(IGNORED, 100), ("razor", 16)]


def test_a_missing_part_of_the_folder(folder: Path) -> None:
    shutil.rmtree(folder / "masks")
    with pytest.raises(InputError, match="masks: no such folder"):
        MasksSource(folder, SIXRAY, stretched=True).listing()


def test_what_cannot_be_used_is_named_and_the_others_are_taken(folder: Path) -> None:
    for name in ("normal/t02.png", "more/a.png", "b.png", "masks/t03.bmp", "threat/t04.png"):
        write_image(folder / name, np.full((9, 9), len(name), dtype=np.uint8))
    listing = MasksSource(folder, SIXRAY, stretched=True).listing()
    twice = "one of 2 masks with the same name: keep one"
    outside = "an image outside of normal/, threat/ and masks/"
    missing = "a threat scan without a mask: expected {}/masks/{}.png"
    assert sorted(listing.bad, key=lambda bad: bad.file) == [
        BadInput(f"{folder}/b.png", outside),
        BadInput(f"{folder}/masks/t03.bmp", twice),
        BadInput(f"{folder}/masks/t03.png", twice),
        BadInput(f"{folder}/more/a.png", outside),
        BadInput(f"{folder}/threat/t03.png", missing.format(folder, "t03")),
        BadInput(f"{folder}/threat/t04.png", missing.format(folder, "t04")),
    ]
    ids = [entry.scan_id for entry in listing.entries]
    assert ids == ["normal/n00", "normal/n01", "normal/t02", "threat/t02"]
    assert listing.entries[-1].files == (folder / "threat/t02.png", folder / "masks/t02.png")
    assert listing.names == {"1"}
    masks = (folder / "masks" / name for name in ("t02.png", "t03.png", "t03.bmp"))
    assert listing.annotations == set(masks)


def test_a_normal_scan_with_a_mask_and_a_second_scan_of_one_id_are_named(folder: Path) -> None:
    image = np.zeros((9, 9), dtype=np.uint8)
    for name in ("normal/deep/a.png", "normal/n00.bmp"):
        write_image(folder / name, image)
    write_image(folder / "masks/deep/a.png", image + 1)
    listing = MasksSource(folder, SIXRAY, stretched=True).listing()
    masked = "a normal scan with a mask: move it to threat/, or remove the mask"
    again = f"scan id 'normal/n00' is that of {folder}/normal/n00.bmp too: rename one"
    assert listing.bad == [
        BadInput(f"{folder}/normal/deep/a.png", masked),
        BadInput(
            f"{folder}/masks/deep/a.png",
            "a mask without a scan in threat/: add the image, or remove the mask",
        ),
        BadInput(f"{folder}/normal/n00.png", again),
    ]
    assert len(listing.entries) == 4


def test_the_parts_of_a_mask_are_not_all_in_memory_at_once() -> None:
    specks = np.zeros((400, 400), dtype=np.bool_)
    specks[::2, ::2] = True  # masks of 6 GB together
    parts = connected_components(specks)
    assert [int(next(parts).sum()) for _ in range(3)] == [1] * 3


@pytest.mark.parametrize("left", ["normal", "threat", "masks"])
def test_only_a_set_of_normals_may_lack_folders(folder: Path, left: str) -> None:
    for name in {"normal", "threat", "masks"} - {left}:
        shutil.rmtree(folder / name)
    source = MasksSource(folder, SIXRAY, stretched=True)
    if left == "normal":
        assert [entry.classes for entry in source.listing().entries] == [()] * 2
        return
    with pytest.raises(InputError) as error:
        source.listing()
    assert str(error.value) == (
        f"{folder}/normal: no such folder: expected normal/, threat/ and masks/, or set "
        "scans.source to folder if every image in it is a normal scan"
    )
