import pickle
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import InputError
from pipeline.scans.bad_input import BadInput
from pipeline.scans.scan import ScanEntry
from pipeline.scans.sources.cifar10 import BATCHES, CLASSES, PARTS, Cifar10Source
from pipeline.scans.sources.folders import list_files
from pipeline.scans.splits import split_scans
from pipeline.settings.scans import SplitShares
from tests.attacks import Attack
from tests.sources.bad_files import assert_one_bad
from tests.tiny import write_image

ROWS = 20  # of a batch: two of each class


def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Planes (N, 3072) and labels as the official batches hold them."""
    generator = np.random.default_rng(number)
    return generator.integers(0, 256, (ROWS, 3072), dtype=np.uint8), np.arange(ROWS) % 10


def write_binary(folder: Path) -> Path:
    for number, name in enumerate(BATCHES):
        rows, labels = batch(number)
        np.column_stack([labels.astype(np.uint8), rows]).tofile(folder / f"{name}.bin")
    return folder


def write_pickled(folder: Path) -> Path:
    for number, name in enumerate(BATCHES):
        rows, labels = batch(number)
        content = {b"data": rows, b"labels": labels.tolist(), b"batch_label": b"text"}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder


def write_as_before_numpy_2(folder: Path) -> Path:
    """As the official batches spell it: NumPy's modules by their old names."""
    for path in list(write_pickled(folder).iterdir()):
        content = path.read_bytes()
        assert b"numpy._core.multiarray" in content
        path.write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    return folder


class PicklerOfPython2(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings: the official batches are of that time."""

    write: Callable[[bytes], object]  # which mypy does not know of
    memoize: Callable[[object], None]

    def save_bytes(self, text: bytes) -> None:
        self.write(b"T" + len(text).to_bytes(4, "little") + text)
        self.memoize(text)

    dispatch: ClassVar = {**pickle._Pickler.dispatch, bytes: save_bytes}  # type: ignore[dict-item]


def write_as_python_2(folder: Path) -> Path:
    for path in list(write_pickled(folder).iterdir()):
        content = pickle.loads(path.read_bytes())
        with path.open("wb") as file:
            PicklerOfPython2(file, protocol=2).dump(content)
    return folder


def write_folders(folder: Path) -> Path:
    for part in ("train", "test"):
        for number, name in enumerate(("airplane", "automobile", "bird")):
            image = np.full((32, 32, 3), 40 * number, dtype=np.uint8)
            write_image(folder / part / name / "0001.png", image)
    return folder


def test_class_folders_take_official_and_short_names(tmp_path: Path) -> None:
    source = Cifar10Source(write_folders(tmp_path), "airplane")
    entries = source.listing().entries
    assert [entry.scan_id for entry in entries] == [
        f"{part}/{name}/0001" for part in ("test", "train") for name in ("bird", "car", "plane")
    ]
    assert [entry.classes for entry in entries[:3]] == [(), (), ("plane",)]
    assert source.read(entries[0]).image[0, 0].tolist() == [80, 80, 80]


def test_an_image_of_a_class_folder_needs_no_suffix(tmp_path: Path) -> None:
    (write_folders(tmp_path) / "test/bird/0001.png").rename(tmp_path / "test/bird/0001")
    source = Cifar10Source(tmp_path, "car")
    (entry,) = (entry for entry in source.listing().entries if entry.scan_id == "test/bird/0001")
    assert source.read(entry).image[0, 0].tolist() == [80, 80, 80]


@pytest.mark.parametrize(
    "write", [write_binary, write_pickled, write_as_before_numpy_2, write_as_python_2]
)
def test_an_id_says_part_class_batch_and_row(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    source = Cifar10Source(write(tmp_path), "automobile")
    entries = source.listing().entries
    assert len({entry.scan_id for entry in entries}) == 6 * ROWS
    for number, stem in enumerate(BATCHES):
        part = "train" if number < 5 else "test"
        for row, label in enumerate(batch(number)[1]):
            scan_id = f"{part}/{CLASSES[label]}/{stem}-{row:05d}"
            (entry,) = (entry for entry in entries if entry.scan_id == scan_id)
            assert entry.classes == (("car",) if label == 1 else ())
            assert entry.part == ("test" if label == 1 else part)
            assert entry.files[0].name.removesuffix(".bin") == stem
            if row % 7 == 1:
                scan = source.read(entry)
                planes = batch(number)[0][row].reshape(3, 32, 32)
                np.testing.assert_array_equal(scan.image, np.moveaxis(planes, 0, 2))
                assert (scan.scan_id, scan.objects) == (scan_id, entry.classes)
                assert [region.class_name for region in scan.regions] == list(entry.classes)
                for region in scan.regions:
                    np.testing.assert_array_equal(region.mask, np.ones((32, 32), np.bool_))
                    assert region.mask.dtype == np.bool_


@pytest.mark.parametrize("size", [0, 20 * 3073 - 1])
def test_a_batch_of_torn_rows_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    path = write_binary(tmp_path) / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:size])
    reason = f"{size} bytes, expected a multiple of 3073: truncated?"
    assert len(assert_one_bad(Cifar10Source(tmp_path, "car"), capsys, path, reason)) == 5 * ROWS


def test_beside_batches_other_files_are_nobody_s(tmp_path: Path) -> None:
    write_binary(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "readme.html").touch()
    listing = Cifar10Source(tmp_path, "car").listing()
    assert (len(listing.entries), listing.bad) == (6 * ROWS, [])
    assert listing.files == list_files(tmp_path)


def test_class_folders_name_what_is_in_no_class(tmp_path: Path) -> None:
    source = Cifar10Source(write_folders(tmp_path), "bird")
    image = np.zeros((32, 32, 3), dtype=np.uint8)
    names = ("a.png", "other/bird/a.png", "train/b.png")
    for name in (*names, "test/bird/deep/c.png", "test/plane/0001.png"):
        write_image(tmp_path / name, image)
    (tmp_path / "link").symlink_to(tmp_path)
    listing = source.listing()
    outside = "an image outside of train/<class>/ and test/<class>/"
    twice = (
        f"scan id 'test/plane/0001' is that of {tmp_path}/test/airplane/0001.png too: rename one"
    )
    assert listing.bad == [
        BadInput(f"{tmp_path}/link", "a link to a folder: put the folder here"),
        *(BadInput(f"{tmp_path}/{name}", outside) for name in names),
        BadInput(f"{tmp_path}/test/plane/0001.png", twice),
    ]
    assert len(listing.entries) == 7
    birds = [(entry.scan_id, entry.part) for entry in listing.entries if entry.classes]
    assert birds == [
        ("test/bird/0001", "test"),
        ("test/bird/c", "test"),
        ("train/bird/0001", "test"),
    ]
    assert source.classes.meaning("bird") == "bird"


@pytest.mark.slow  # 60,000 scans
def test_the_split_of_the_paper() -> None:
    entries = [
        ScanEntry(f"{part}/{name}/{number}", (), (), part)
        if name != "car"
        else ScanEntry(f"{part}/{name}/{number}", (), (name,), "test")  # as the source says it
        for part, count in zip(PARTS, (5000, 1000), strict=True)
        for name in CLASSES
        for number in range(count)
    ]
    shares = SplitShares(validation=0.05, test_normal=0.25, labelled_validation=0)
    splits = split_scans(entries, shares, 0, {})
    abnormal = {entry.scan_id for entry in entries if entry.classes}
    counts = Counter((split, scan_id in abnormal) for scan_id, split in splits.items())
    assert counts["train", False] + counts["validation", False] == 45_000
    assert (counts["test", False], counts["test", True]) == (9_000, 6_000)


def test_a_pickle_that_asks_for_code_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pickled(tmp_path)
    path = tmp_path / "data_batch_1"
    attack = Attack(tmp_path / "proof")
    path.write_bytes(pickle.dumps({b"data": attack}))
    source = Cifar10Source(tmp_path, "car")
    kept = assert_one_bad(source, capsys, path, "it contains posix.mkdir, which is refused")
    assert not attack.proof.exists()
    assert len(kept) == 5 * ROWS


class Elsewhere:
    """Stands for an attribute of numpy that is no part of an array."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (np.load, ("x.npy",))


@pytest.mark.parametrize(
    "content",
    [
        Elsewhere(),
        {b"data": Elsewhere(), b"labels": []},
        [1, 2],
        {b"data": np.zeros((2, 3072), dtype=np.uint8), b"labels": [1]},
        {b"data": np.zeros((2, 3072), dtype=np.uint8), b"labels": [1, 10]},
        {b"data": np.zeros((2, 3072), dtype=np.uint8), b"labels": [1, -1]},
        {b"data": np.zeros((2, 7), dtype=np.uint8), b"labels": [1, 2]},
        {b"data": "text", b"labels": [1, 2]},
    ],
)
def test_a_batch_of_another_content_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object
) -> None:
    path = write_pickled(tmp_path) / "test_batch"
    path.write_bytes(pickle.dumps(content))
    assert_one_bad(Cifar10Source(tmp_path, "car"), capsys, path, str(path))


@pytest.mark.slow
@settings(max_examples=40)
@given(st.binary(max_size=60), st.integers(0, 1000))
def test_whatever_a_pickle_holds_it_is_named(junk: bytes, at: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_pickled(Path(folder)) / "test_batch"
        content = bytearray(path.read_bytes())
        content[at : at + len(junk)] = junk
        path.write_bytes(content)
        listing = Cifar10Source(Path(folder), "car").listing()
    assert len(listing.entries) + ROWS * len(listing.bad) >= 5 * ROWS


def test_a_truncated_pickle_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_pickled(tmp_path) / "test_batch"
    path.write_bytes(path.read_bytes()[:-10])
    assert len(assert_one_bad(Cifar10Source(tmp_path, "car"), capsys, path)) == 5 * ROWS


def test_a_label_that_is_no_class_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_binary(tmp_path) / "data_batch_3.bin"
    path.write_bytes(b"\x0b" + path.read_bytes()[1:])
    assert_one_bad(
        Cifar10Source(tmp_path, "car"), capsys, path, "labels up to 11, expected a label"
    )


def test_wrong_folders_and_classes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none: no such folder"):
        Cifar10Source(tmp_path / "none", "car").listing()
    with pytest.raises(InputError, match="train: no such folder: expected CIFAR-10's official"):
        Cifar10Source(tmp_path, "car").listing()
    (write_folders(tmp_path) / "train" / "cow").mkdir()
    with pytest.raises(InputError, match="cow: unknown class"):
        Cifar10Source(tmp_path, "car").listing()


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    (write_binary(tmp_path) / "test_batch.bin").unlink()
    with pytest.raises(InputError, match=r"test_batch\.bin: no such file: expected all six"):
        Cifar10Source(tmp_path, "car").listing()
