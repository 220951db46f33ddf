import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.common.names import IGNORED
from pipeline.scans.sources.classes import ClassMap
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from tests.conftest import make_sixray, write_image
from tests.sources.bad_files import assert_one_bad


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


def test_every_connected_part_is_a_region(folder: Path) -> None:
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[2:6, 2:6], mask[20:30, 20:30], mask[40:44, 2:6] = 1, 1, 2
    write_image(folder / "masks" / "t02.png", mask)
    source = MasksSource(folder, SIXRAY, stretched=True)
    entry = source.listing().entries[2]
    assert entry.classes == ("gun", "knife")
    found = [(region.class_name, int(region.mask.sum())) for region in source.read(entry).regions]
    assert found == [("gun", 16), ("gun", 100), ("knife", 16)]


def test_a_mask_without_a_scan_and_a_scan_without_a_mask(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = MasksSource(folder, SIXRAY, stretched=True)
    scan, mask = folder / "threat" / "t02.png", folder / "masks" / "t02.png"
    elsewhere = folder.parent / "elsewhere.png"
    scan.rename(elsewhere)
    assert_one_bad(source, capsys, mask, "a mask without a scan in threat/")
    elsewhere.rename(scan)
    mask.unlink()
    kept = assert_one_bad(source, capsys, scan, f"without a mask: expected {mask}")
    assert kept == ["normal/n00", "normal/n01", "threat/t03"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [(9, "scans.classes: says nothing of 9"), (0, "an empty mask: put its scan into normal/")],
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
