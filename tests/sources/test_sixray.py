import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.sources.sixray import SixraySource
from tests.conftest import make_sixray, write_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_sixray(tmp_path, normal=2, threat=2)


def test_scans_with_their_regions(folder: Path) -> None:
    source = SixraySource(folder)
    entries = {entry.scan_id: entry for entry in source.entries()}
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
    source = SixraySource(folder)
    entry = source.entries()[2]
    assert entry.classes == ("gun", "knife")
    found = [(region.class_name, int(region.mask.sum())) for region in source.read(entry).regions]
    assert found == [("gun", 16), ("gun", 100), ("knife", 16)]


def test_a_mask_without_a_scan_and_a_scan_without_a_mask(folder: Path) -> None:
    (folder / "threat" / "t02.png").unlink()
    with pytest.raises(InputError, match=r"t02\.png: a mask without a scan"):
        SixraySource(folder).entries()
    (folder / "masks" / "t02.png").rename(folder / "masks" / "t03.png")
    write_image(folder / "threat" / "t09.png", np.zeros((8, 8, 3), dtype=np.uint8))
    with pytest.raises(InputError, match=r"t09\.png: a threat scan without a mask"):
        SixraySource(folder).entries()


def test_an_unknown_class_and_an_empty_mask(folder: Path) -> None:
    write_image(folder / "masks" / "t02.png", np.full((4, 4), 9, dtype=np.uint8))
    with pytest.raises(InputError, match=r"t02\.png: unknown class 9: expected 0"):
        SixraySource(folder).entries()
    write_image(folder / "masks" / "t02.png", np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(InputError, match=r"t02\.png: an empty mask"):
        SixraySource(folder).entries()


def test_a_missing_part_of_the_folder(folder: Path) -> None:
    shutil.rmtree(folder / "masks")
    with pytest.raises(InputError, match="masks: no such folder"):
        SixraySource(folder).entries()
