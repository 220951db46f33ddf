import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.scans.scan import ScanEntry
from pipeline.scans.sources.class_folders import ClassFolderSource
from pipeline.scans.sources.classes import ClassMap
from pipeline.scans.sources.folders import list_files, list_set, without_repeats
from tests.conftest import write_image
from tests.sources.bad_files import assert_one_bad, kept_and_bad

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
    assert [item.file for item in bad] == ["y", "z"]


def test_the_same_file_under_two_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, copy = folder / "normal" / "good.png", folder / "normal" / "other.png"
    shutil.copy(good, copy)
    kept = assert_one_bad(source_of(folder), capsys, copy, f"the same image as {good}")
    assert kept == ["normal/good"]


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


def test_a_folder_that_may_not_be_listed_is_named(folder: Path) -> None:
    (folder / "locked").mkdir(mode=0)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from pipeline.scans.sources.folders import list_files\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "print(list_files(Path(sys.argv[1])).bad)"
    )
    of_pytest = [path for path in folder.parents if re.match("pytest-|popen-|test_", path.name)]
    for path in (folder, *of_pytest, folder / "normal"):
        path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    (folder / "locked").chmod(0o755)
    assert "locked', reason='cannot be listed: Permission denied'" in done.stdout


def test_a_missing_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: no such folder: set scans\.folder"):
        list_files(tmp_path / "none")
    with pytest.raises(InputError, match="no image in it: expected PNG, JPEG"):
        list_set(tmp_path)
