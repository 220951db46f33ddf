import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.scans.bad_input import BadInput
from pipeline.scans.classes import ClassMap
from pipeline.scans.scan import ScanEntry
from pipeline.scans.sources import cifar10, coco_files, labelme, voc, yolo_names
from pipeline.scans.sources.class_folders import ClassFolderSource
from pipeline.scans.sources.folders import (
    id_below,
    list_files,
    list_set,
    read_lines,
    without_repeats,
)
from tests.sources.bad_files import assert_one_bad, kept_and_bad
from tests.tiny import write_image

GENERATOR = np.random.default_rng(0)


def write_scan(path: Path) -> Path:
    return write_image(path, GENERATOR.integers(0, 256, (16, 20, 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_scan(tmp_path / "set" / "normal" / "good.png")
    return tmp_path / "set"


def source_of(folder: Path) -> ClassFolderSource:
    return ClassFolderSource(folder, ClassMap({"normal": "normal"}))


@pytest.mark.parametrize(
    "name", ["сумка №7.png", "鞄.png", " leading.png", "trailing .png", "a" * 240 + ".png", "x.PNG"]
)
def test_names_of_all_kinds_are_taken(folder: Path, name: str) -> None:
    write_scan(folder / "normal" / "tmp.png").rename(folder / "normal" / name)
    kept, bad = kept_and_bad(source_of(folder))
    assert bad == []
    assert sorted(kept) == sorted(["normal/good", f"normal/{name[:-4]}"])


@pytest.mark.parametrize("name", [b"two\nlines.png", b"not-utf8-\xff.png"])
def test_names_that_break_a_line_or_a_text_are_bad(
    folder: Path, capsys: pytest.CaptureFixture[str], name: bytes
) -> None:
    path = os.fsencode(folder / "normal") + b"/" + name
    write_scan(folder / "normal" / "tmp.png").rename(os.fsdecode(path))
    shown = ascii(os.fsdecode(path))[1:-1]
    assert_one_bad(source_of(folder), capsys, shown, "control characters, or that is not UTF-8")


def test_a_folder_s_name_that_breaks_a_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_scan(folder / "normal" / "two\nlines" / "a.png")
    assert_one_bad(source_of(folder), capsys, str(path).replace("\n", "\\n"), "control characters")


def test_a_loop_of_links(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = folder / "normal" / "up"
    link.symlink_to(folder)
    kept = assert_one_bad(source_of(folder), capsys, link, "a link to a folder")
    assert kept == ["normal/good"]
    link.unlink()
    link = folder / "normal" / "self.png"
    link.symlink_to(link)
    assert_one_bad(source_of(folder), capsys, link, "a link that leads nowhere")


def test_a_link_out_of_the_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = folder / "normal" / "out.png"
    link.symlink_to(write_scan(folder.parent / "secret.png"))
    kept = assert_one_bad(source_of(folder), capsys, link, "a link out of the folder")
    assert kept == ["normal/good"]


def test_the_folder_itself_may_be_a_link(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder)
    write_scan(folder / "store" / "a.png")
    (folder / "normal" / "inside.png").symlink_to(folder / "store" / "a.png")
    files = list_files(folder.parent / "link")
    assert files.bad == ()
    assert [path.name for path in files.images] == ["good.png", "inside.png", "a.png"]


def test_other_files_are_found_by_their_suffix_whatever_its_case(folder: Path) -> None:
    for name in ("a.TXT", "b.txt", "c.xml", "d.json", "etxt"):
        (folder / name).touch()
    found = list_files(folder).ending_in(".txt")
    assert found == [folder / name for name in ("a.TXT", "b.txt")]


def test_every_name_is_in_one_sorted_group_and_what_is_hidden_is_left_alone(folder: Path) -> None:
    write_scan(folder / "normal" / "tmp.png").rename(folder / "b.data")  # a picture by its content
    for name in (
        ".hidden/x.png",
        "c/.x",
        "c/notes.TXT",
        "a.txt",
        "a.cache",
        "z.JPEG",
        "e/.d/y.txt",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    write_scan(folder / "c" / "seen.TIF")
    for name in ("e/seen.npy", "c/seen.npy", "c/none.npy", "z.npy", "w.DCM", "c/v.webp"):
        (folder / name).touch()
    files = list_files(folder)
    expected: dict[str, tuple[str, ...]] = {
        "images": ("b.data", "c/seen.TIF", "normal/good.png", "z.JPEG"),
        "others": ("a.cache", "a.txt", "c/notes.TXT", "c/seen.npy", "z.npy"),
        "hidden": (".hidden", "c/.x", "e/.d"),
    }
    for group, names in expected.items():
        assert getattr(files, group) == tuple(folder / name for name in names)
    reason = "not a format that is read: expected PNG, JPEG, TIFF, BMP"
    names = ("c/none.npy", "c/v.webp", "e/seen.npy", "w.DCM")
    assert files.bad == tuple(BadInput(f"{folder}/{name}", reason) for name in names)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("files/md5/0a/" + "1" * 30, "store"),
        ("0a/" + "1" * 30, "store"),
        (".git/annex/objects/Xk/9Z/key", "store"),
        ("files/md5/0a/" + "1" * 31, "nowhere"),
        ("files/md5/0a/" + "G" * 30, "nowhere"),
        ("annex/objects", "nowhere"),
    ],
)
def test_links_into_a_store_are_known_by_their_end(folder: Path, target: str, reason: str) -> None:
    link, content = folder / "normal" / "link.png", folder.parent / target
    link.symlink_to(os.path.relpath(content, link.parent))
    reasons = {
        "store": "a link into a store that lacks the file: run `dvc pull`, or `git annex get`",
        "nowhere": "a link that leads nowhere: remove it",
    }
    assert list_files(folder).bad == (BadInput(str(link), reasons[reason]),)
    write_scan(content.with_suffix(".png")).rename(content)
    files = list_files(folder)
    if reason == "store":
        assert (link in files.images, files.bad) == (True, ())
    else:
        outside = "a link out of the folder: put the file here"
        assert (link in files.images, files.bad) == (False, (BadInput(str(link), outside),))


def test_what_dvc_tracks_and_did_not_fetch_is_named(folder: Path) -> None:
    for name in ("normal/good.png.dvc", "labels.dvc"):
        (folder / name).touch()
    reason = "DVC tracks labels, which is not here: run `dvc pull` or `dvc checkout`"
    assert list_files(folder).bad == (BadInput(f"{folder}/labels.dvc", reason),)


def test_special_files_are_named_by_their_kind(folder: Path) -> None:
    os.mkfifo(folder / "a.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "s.txt"))
        bad = list_files(folder).bad
    assert bad == (
        BadInput(f"{folder}/a.png", "a FIFO, not a file: remove it"),
        BadInput(f"{folder}/s.txt", "a socket, not a file: remove it"),
    )


@pytest.mark.parametrize(
    ("content", "lines"),
    [(b"\xef\xbb\xbf a \r\n\r\n\tb", ["a", "", "b"]), (b"", []), ("ä\n".encode(), ["ä"])],
)
def test_lines_have_no_mark_and_no_blanks_at_their_ends(
    tmp_path: Path, content: bytes, lines: list[str]
) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert read_lines(tmp_path / "a.txt") == lines


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"a\xff", "not text in UTF-8: save it as UTF-8"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "a pointer of Git LFS: run `git lfs pull`",
        ),
    ],
)
def test_text_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{path}: {reason}$"):
        read_lines(path)


@pytest.mark.parametrize(
    "read",
    [
        cifar10._read_binary,
        cifar10._read_pickled,
        coco_files._read_file,
        labelme._read,
        voc._read,
        yolo_names._names_in_yaml,
    ],
)
def test_labels_that_cannot_be_read_are_named(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "gone"
    with pytest.raises(InputError, match=f"^{path}: cannot be read: No such file or directory$"):
        read(path)


def test_an_id_is_the_path_below_the_set_without_the_suffix() -> None:
    assert id_below(Path("set"), Path("set/a.b/c.d.png")) == "a.b/c.d"


def test_formats_that_are_not_read_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "normal" / "moving.gif"
    path.write_bytes(b"GIF89a")
    assert_one_bad(source_of(folder), capsys, path, "not a format that is read: expected PNG")
    path.unlink()
    path.with_suffix(".txt").write_text("GIFs of May")  # a note beside the scans is nobody's loss
    assert kept_and_bad(source_of(folder)) == (["normal/good"], [])


def test_two_scans_of_one_id(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_scan(folder / "normal" / "good.bmp")
    kept = assert_one_bad(
        source_of(folder), capsys, folder / "normal" / "good.png", "'normal/good'", str(path)
    )
    assert kept == ["normal/good"]


def test_of_one_id_the_first_is_kept() -> None:
    entries = [ScanEntry("a", (Path(name),), ()) for name in ("z", "x", "y")]
    kept, bad = without_repeats(entries)
    assert [entry.files[0].name for entry in kept] == ["x"]
    reason = "scan id 'a' is that of x too: rename one"
    assert bad == [BadInput("y", reason), BadInput("z", reason)]
    last, first = (ScanEntry(name, (Path("a"),), ()) for name in "zb")
    assert without_repeats([last, first]) == ([first, last], [])


def test_a_folder_that_vanishes_while_it_is_read(folder: Path) -> None:
    class Vanishing(ClassFolderSource):
        def listing(self):  # type: ignore[no-untyped-def]
            found = super().listing()
            shutil.rmtree(self.folder / "normal")
            return found

    kept, (bad,) = kept_and_bad(Vanishing(folder, ClassMap({"normal": "normal"})))
    assert kept == []
    assert bad.file == str(folder / "normal" / "good.png")
    assert bad.reason == "cannot be read: No such file or directory"


def test_files_and_folders_that_may_not_be_read_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, mode in (("locked", 0), ("no entry", 0o644)):
        (folder / name).mkdir()
        (folder / name / "a.csv").touch()
        (folder / name).chmod(mode)
    (folder / "b.csv").touch(mode=0o600)
    monkeypatch.chdir(folder)  # since pytest closes the folders above to everybody but root
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may list every folder
    try:
        bad = list_files(Path()).bad
    finally:
        os.seteuid(user)
    for name in ("locked", "no entry"):
        (folder / name).chmod(0o755)
    assert BadInput("locked", "cannot be listed: Permission denied") in bad
    advice = "no permission: make it readable"
    assert BadInput("no entry", f"cannot be entered: {advice}") in bad
    assert user or BadInput("b.csv", f"cannot be read: {advice}") in bad


def test_a_missing_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: no such folder: set scans\.folder"):
        list_files(tmp_path / "none")
    with pytest.raises(InputError, match="no image in it: expected PNG, JPEG"):
        list_set(tmp_path)
