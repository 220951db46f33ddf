import json
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import InputError
from pipeline.patches.kept_windows import KeptWindows
from pipeline.patches.shard_file import TYPES, Shard, ShardAttributes, ShardWriter

ROWS = 150


def pixels_of(rows: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, 16, 16, channels), dtype=np.uint8)


def windows_of(rows: int) -> KeptWindows:
    labels = tuple("knife" if row % 3 == 0 else "normal" for row in range(rows))
    origins = np.arange(2 * rows, dtype=np.int32).reshape(rows, 2)
    return KeptWindows(origins, labels, 0, 0)


def shard_of(folder: Path, channels: int = 3, piece: int = 40) -> Path:
    """Two scans, of 100 and of 50 windows."""
    path = folder / "train-0.h5"
    attributes = ShardAttributes("train", {"size": 16}, channels, "pixels", "sources", "code")
    pixels = pixels_of(ROWS, channels)
    with ShardWriter(folder, 16, channels) as writer:
        for scan_id, rows in (("sçan a", pixels[:100]), ("b", pixels[100:])):
            pieces = (rows[start : start + piece] for start in range(0, len(rows), piece))
            writer.add_scan(scan_id, windows_of(len(rows)), pieces)
        assert len(writer) == ROWS
        writer.finish(path, attributes)
    return path


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_what_was_written_is_read(tmp_path: Path, channels: int) -> None:
    shard = Shard(shard_of(tmp_path, channels))
    shard.verify()
    assert len(shard) == ROWS
    np.testing.assert_array_equal(shard.read(0, ROWS), pixels_of(ROWS, channels))
    np.testing.assert_array_equal(shard.read(63, 130), pixels_of(ROWS, channels)[63:130])
    assert shard.column("scans").tolist() == [0] * 100 + [1] * 50
    assert [scan_id.decode() for scan_id in shard.column("scan_ids")] == ["sçan a", "b"]
    labels = [shard.about["classes"][code] for code in shard.column("labels")]
    assert tuple(labels) == windows_of(100).labels + windows_of(50).labels
    assert shard.about["channels"] == channels
    assert [path.name for path in tmp_path.iterdir()] == ["train-0.h5"]


def test_the_bytes_do_not_depend_on_the_pieces(tmp_path: Path) -> None:
    files = [shard_of(tmp_path / str(piece), piece=piece) for piece in (1, 40, 1000)]
    assert len({path.read_bytes() for path in files}) == 1


def test_a_shard_of_one_large_patch_is_small(tmp_path: Path) -> None:
    patch = np.zeros((1, 512, 512, 3), dtype=np.uint8)
    with ShardWriter(tmp_path, 512, 3) as writer:
        writer.add_scan("a", windows_of(1), [patch])
        writer.finish(tmp_path / "a.h5", ShardAttributes("train", {}, 3, "", "", ""))
    assert (tmp_path / "a.h5").stat().st_size < 5 * patch.nbytes


def test_a_shard_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, 16, 3) as writer:
        writer.add_scan("a", windows_of(4), [pixels_of(4, 3)])
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_shard_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    path = shard_of(tmp_path)
    whole = path.read_bytes()
    for length in (0, 1, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"train-0\.h5: not a whole shard .*: run `dvc repro"):
            Shard(path).verify()


@pytest.mark.slow
def test_a_flipped_byte_anywhere_is_found_or_changes_nothing(tmp_path: Path) -> None:
    path = shard_of(tmp_path)
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    expected = content_of(path)
    # Everywhere in what HDF5 writes about the data, and here and there in the data.
    places = [*range(0, 800, 11), *generator.integers(0, len(whole), 120).tolist()]
    refusals = []
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        try:
            assert content_of(path) == expected
        except InputError as error:
            refusals.append(str(error))
    assert len(refusals) > len(places) / 2
    assert all(text.startswith(f"{path}: ") and "\n" not in text for text in refusals)


def content_of(path: Path) -> list[bytes]:
    shard = Shard(path)
    shard.verify()
    names = sorted(TYPES.keys() - {"patches"})
    return [shard.read(0, ROWS).tobytes(), *(shard.column(name).tobytes() for name in names)]


def put(name: str, value: object, *, attribute: bool = False) -> Callable[[h5py.File], None]:
    """Put `value`, or nothing, where the dataset or attribute of this name was."""

    def change(file: h5py.File) -> None:
        where = file.attrs if attribute else file
        if name in where:
            del where[name]
        if value is not None:
            where[name] = value

    return change


def virtual_storage(file: h5py.File) -> None:
    del file["labels"]
    layout = h5py.VirtualLayout((ROWS,), np.uint8)
    layout[:] = h5py.VirtualSource("elsewhere.h5", "labels", (ROWS,))
    file.create_virtual_dataset("labels", layout)


def external_storage(file: h5py.File) -> None:
    del file["labels"]
    file.create_dataset("labels", (ROWS,), np.uint8, external=[("elsewhere.bin", 0, ROWS)])


def object_type(file: h5py.File) -> None:
    del file["scan_ids"]
    file.create_dataset("scan_ids", (2,), h5py.string_dtype())


def a_filter(file: h5py.File) -> None:
    del file["labels"]
    file.create_dataset("labels", (ROWS,), np.uint8, compression="gzip")


def a_group(file: h5py.File) -> None:
    del file["labels"]
    file.create_group("labels")


def patches_that_are_not_there(file: h5py.File) -> None:
    """Two million of them, of which none is on the disk: HDF5 would make them up."""
    for name in ("patches", "checksums", "labels", "scans", "origins"):
        shape, kind = (2_000_000, *file[name].shape[1:]), file[name].dtype
        del file[name]
        file.create_dataset(name, shape, kind, chunks=(64, *shape[1:]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("labels", np.zeros(5, np.uint8)), "shapes"),
        (put("patches", np.zeros((ROWS, 16, 8, 3), np.uint8)), "shapes"),
        (put("patches", np.zeros((ROWS, 16, 16, 4), np.uint8)), "shapes"),
        (patches_that_are_not_there, "it declares 15[0-9]{8} bytes, more than the file has"),
        (put("format", 1, attribute=True), "shard format 1, expected 3"),
        (put("format", None, attribute=True), "shard format None, expected 3"),
        (put("about", json.dumps({}), attribute=True), "attributes"),  # of variable length
        (put("more", 1, attribute=True), "attributes"),
        (put("labels", h5py.ExternalLink("/etc/group", "labels")), "labels is a link to elsewhere"),
        (put("labels", h5py.SoftLink("/scans")), "labels is a link to elsewhere"),
        (virtual_storage, "/labels is of another storage or type"),
        (external_storage, "/labels is of another storage or type"),
        (object_type, "/scan_ids is of another storage or type"),
        (a_filter, "/labels is of another storage or type"),
        (a_group, "a group"),
        (put("more", np.zeros(3)), "it holds"),
        (put("origins", None), "it holds"),
    ],
)
def test_what_no_shard_of_ours_holds_is_refused(
    tmp_path: Path, change: Callable[[h5py.File], None], message: str
) -> None:
    path = shard_of(tmp_path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=rf"train-0\.h5: not a whole shard \({message}"):
        Shard(path)


@pytest.mark.parametrize(("name", "most"), [("labels", 2), ("scans", 2)])
def test_an_index_to_nothing_is_refused(tmp_path: Path, name: str, most: int) -> None:
    path = shard_of(tmp_path)
    with h5py.File(path, "r+") as file:
        file[name][3] = most
        about = json.loads(bytes(file.attrs["about"]))
        about["columns"][name] = zlib.crc32(file[name][:].tobytes())
        file.attrs["about"] = np.bytes_(json.dumps(about))
    shard = Shard(path)
    with pytest.raises(InputError, match=f"{name} are wrong .there are {most} to choose from"):
        shard.column(name)


@pytest.mark.parametrize(("key", "value"), [("classes", []), ("classes", [1]), ("columns", {})])
def test_what_a_shard_says_of_itself_is_checked(tmp_path: Path, key: str, value: object) -> None:
    path = shard_of(tmp_path)
    with h5py.File(path, "r+") as file:
        about = {**json.loads(bytes(file.attrs["about"])), key: value}
        file.attrs["about"] = np.bytes_(json.dumps(about))
    with pytest.raises(InputError, match=r"train-0\.h5: not a whole shard"):
        Shard(path)


@settings(max_examples=30)
@given(
    scans=st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=9),
            st.integers(0, 90),  # windows
            st.integers(1, 100),  # windows in a piece
        ),
        min_size=1,
        max_size=5,
    ),
    channels=st.integers(1, 3),
)
def test_whatever_was_written_is_read(scans: list[tuple[str, int, int]], channels: int) -> None:
    total = sum(windows for _, windows, _ in scans)
    pixels, kept = pixels_of(total, channels), windows_of(total)
    labels = np.random.default_rng(total).choice(["normal", "gun", "knife"], total).tolist()
    attributes = ShardAttributes("train", {"size": 16}, channels, "pixels", "sources", "code")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train-0.h5")
        with ShardWriter(path.parent, 16, channels) as writer:
            start = 0
            for number, (scan_id, windows, piece) in enumerate(scans):
                own = slice(start, start := start + windows)
                cut = KeptWindows(kept.origins[own], tuple(labels[own]), number, 7)
                rows = pixels[own]
                pieces = (rows[first : first + piece] for first in range(0, windows, piece))
                writer.add_scan(scan_id, cut, pieces)
            writer.finish(path, attributes)
        shard = Shard(path)
        shard.verify()
        columns = {name: shard.column(name) for name in TYPES if name != "patches"}
        np.testing.assert_array_equal(shard.read(0, len(shard)), pixels)
        shard.close()
    assert len(shard) == total
    np.testing.assert_array_equal(columns["origins"], kept.origins)
    assert [shard.about["classes"][code] for code in columns["labels"]] == labels
    assert [scan_id.decode() for scan_id in columns["scan_ids"]] == [name for name, *_ in scans]
    assert columns["left_out"].tolist() == [[number, 7] for number in range(len(scans))]
    lengths = [windows for _, windows, _ in scans]
    assert columns["scans"].tolist() == np.repeat(range(len(scans)), lengths).tolist()
