"""A catalogue that we did not write is refused by its line."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline.common.errors import InputError
from pipeline.scans.catalogue import CATALOGUE, CatalogueRow, read_catalogue, write_catalogue
from pipeline.scans.scan import ScanEntry
from tests.tiny import make_catalogue


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scan_id": 7}, ", line 2: scan_id: Input should be a valid string, got 7"),
        ({"classes": "gun"}, ", line 2: classes: Input should be a valid "),
        ({"digests": None}, ", line 2: digests: Input should be a valid "),
        ({"split": "tests"}, ": scan 'b': expected it once, in one of "),
        ({"scan_id": "a"}, ": scan 'a': expected it once, in one of "),
        ({"files": []}, ": scan 'b': expected it once, in one of "),
        ({"digests": []}, ": scan 'b': expected it once, in one of "),
        ({"files": ["f", "g"]}, ": scan 'b': expected it once, in one of "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    row: dict[str, object] = {"split": "train", "classes": [], "files": ["f"], "digests": ["d"]}
    rows = [{"scan_id": name, **row} for name in ("a", "b")]
    path = tmp_path / CATALOGUE
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_catalogue(tmp_path)[1] == CatalogueRow("b", "train", (), ("f",), ("d",))
    rows[1].update(change)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError) as error:
        read_catalogue(tmp_path)
    assert str(error.value).startswith(f"{path}{message}")
    assert str(error.value).endswith(": run `dvc repro -sf scans`")


def test_a_catalogue_cut_short_is_refused(tmp_path: Path, sixray: Path) -> None:
    rows = make_catalogue(tmp_path, sixray)
    assert read_catalogue(tmp_path) == rows
    path = tmp_path / CATALOGUE
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=f"line {len(rows)}: Invalid JSON"):
        read_catalogue(tmp_path)


def test_a_row_s_digests_are_of_all_that_its_labels_come_from(tmp_path: Path) -> None:
    image, mask = tmp_path / "a.png", tmp_path / "a-mask.png"
    image.write_bytes(b"1")
    mask.write_bytes(b"2")
    entry = ScanEntry("a", (image, mask), (), records="3")
    (row,) = write_catalogue(tmp_path, [entry], {"a": "train"})
    assert row.digests == (sha256(b"1").hexdigest(), sha256(b"2").hexdigest(), "3")
