"""Screening of folders: the files that it writes, what it goes on with, and what it refuses."""

import json
import os
import shutil
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.common.files import read_table, write_atomically
from pipeline.common.p_values import RightTail
from pipeline.models.bag_scores import least_rate
from pipeline.models.trained_model import TrainedModel
from pipeline.pages.pictures import (
    heat_colours,
    heat_levels,
    overlay_heat,
    page_pictures,
    shrink_to_width,
)
from pipeline.scans.images import read_image
from pipeline.scans.scan import ScanSource
from pipeline.screening.file_screener import FileScreener
from pipeline.screening.folder_screener import FolderScreener, Screening, ScreeningOptions
from pipeline.screening.image_screener import ImageScreener
from pipeline.screening.new_scans import NewScan, ScanJob
from pipeline.screening.on_ray import screen_on_ray
from pipeline.screening.records import ScreenedFile, screening_identity
from pipeline.settings.blocks import NO_FOLDER
from stages.screen import main, on_ray, print_results, screen_folder, warn_if_rate_too_low, watch
from tests.arrays import clutter
from tests.sources.sets import NEEDED, TINY
from tests.tiny import write_image
from tests.tiny_model import make_model

RATE = 0.3
OPTIONS = ScreeningOptions(RATE)


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return make_model()


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three scans, one of them in a folder, a broken one, a text and a hidden file."""
    folder = tmp_path / "in"
    for number, name in enumerate(("a.png", "b <b>&'.png", "sub/a.png")):
        write_image(folder / name, clutter(number, 3) // (number + 1) + 20 * number)
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / "note.txt").write_text("a note")
    (folder / ".hidden").touch()
    return folder


def screener_of(
    scans: Path,
    model: TrainedModel,
    out: str = "out",
    digest: str = "m",
    options: ScreeningOptions = OPTIONS,
) -> FolderScreener:
    """A screener of `scans` that writes to the folder `out` beside them."""
    return FolderScreener(
        scans, model, screening_identity(digest, scans), scans.parent / out, options
    )


def screened(scans: Path, model: TrainedModel, out: str = "out", digest: str = "m") -> Screening:
    return screener_of(scans, model, out, digest).screen()


def without_times(folder: Path) -> dict[str, object]:
    """All results in a folder, without the seconds that they took."""
    found: dict[str, object] = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.*"))
        if path.suffix in (".png", ".jpg", ".json")
    }
    rows = read_table(folder / "bags.csv")
    return {**found, "rows": [{**row, "seconds": ""} for row in rows]}


def test_every_file_is_in_the_table(scans: Path, model: TrainedModel) -> None:
    found = screened(scans, model)
    out = scans.parent / "out"
    rows = read_table(out / "bags.csv")
    *done, last = rows
    assert {row["file"] for row in done} == {"a.png", "b <b>&'.png", "sub/a.png"}
    values = [float(row["p_value"]) for row in done]
    assert values == sorted(values)
    assert [row["alarm"] for row in done] == [str(int(value <= RATE)) for value in values]
    assert [file.file for file in found.alarms(RATE)] == [
        row["file"] for row in done if row["alarm"] == "1"
    ]
    assert last["file"] == "cut.png"
    assert "truncated" in last["reason"]
    assert (last["p_value"], last["score"], last["alarm"]) == ("", "", "")
    assert [bad.file for bad in found.bad] == [str(scans / "cut.png")]
    assert found.others == {".txt": 1, "hidden": 1}


def test_bags_with_the_same_p_value_are_ranked_by_score(scans: Path, model: TrainedModel) -> None:
    none = replace(model.tails, bags=RightTail.of(np.zeros(4)))
    files = screened(scans, replace(model, tails=none)).files
    rows = read_table(scans.parent / "out" / "bags.csv")[:3]
    assert {file.p_value for file in files} == {0.2}
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3
    assert [row["file"] for row in rows] != sorted(row["file"] for row in rows)


def test_the_table_has_what_the_screener_says(scans: Path, model: TrainedModel) -> None:
    files = screened(scans, model).files
    screener = ImageScreener.of(model)
    for file, row in zip(files, read_table(scans.parent / "out" / "bags.csv"), strict=False):
        found = screener.screen(read_image(scans / row["file"]))
        assert float(row["seconds"]) == round(file.seconds, 3) > 0
        assert float(row["p_value"]) == pytest.approx(found.p_value)
        for number, look in enumerate(found.looks, 1):
            for name, value in vars(look).items():
                written = row[f"look{number}_{name}"]
                same = (
                    written == value
                    if name == "because"
                    else (float(written) == pytest.approx(value, rel=1e-5))
                )
                assert same, name


def test_heat_is_laid_over_the_grey_scan(scans: Path, model: TrainedModel) -> None:
    screened(scans, model)
    image = read_image(scans / "sub/a.png")
    levels = heat_levels(ImageScreener.of(model).screen(image).evidence)
    found = read_image(scans.parent / "out/heat/sub/a.png.png")
    np.testing.assert_allclose(found, overlay_heat(image, levels), atol=1)


def test_heat_grows_with_the_evidence() -> None:
    evidence = np.array([[np.nan, 0, 1, 1.5, 2, 3, 9]], dtype=np.float32)
    levels = heat_levels(evidence)
    (layer,) = heat_colours()[levels]
    opacity = layer[:, 3].tolist()
    assert opacity[:3] == [0, 0, 0]
    assert 0 < opacity[3] < opacity[4] < opacity[5] == opacity[6] == 191
    assert layer[5, :3].tolist() == [189, 0, 38]
    assert layer[3, 1] > layer[4, 1] > layer[5, 1]  # from yellow to red
    colour = np.tile(np.array([90, 30, 63], np.uint8), (1, 7, 1))
    assert overlay_heat(colour, levels)[0, 0].tolist() == [61, 61, 61]
    white, black = np.full((1, 7, 3), 255, np.uint8), np.zeros((1, 7, 3), np.uint8)
    assert overlay_heat(white, levels)[0, 0].tolist() == [255, 255, 255]
    assert overlay_heat(black, levels)[0, 5].tolist() == [
        round(part * 191 / 255) for part in (189, 0, 38)
    ]


def test_wide_pictures_are_made_smaller() -> None:
    wide = np.zeros((10, 400, 3), np.uint8)
    wide[:, 200:] = 200
    small = shrink_to_width(wide, 100)
    assert small.shape == (2, 100, 3)  # 2.5 is rounded to even
    assert (small[:, :50] == 0).all()
    assert (small[:, 50:] == 200).all()
    assert shrink_to_width(wide, 400) is wide
    wide[:, ::4] = 0
    assert (shrink_to_width(wide, 100)[:, 50:] == 150).all()  # means, so that no thin line is lost


def test_tall_pictures_are_made_smaller_too() -> None:
    tall = np.zeros((70_000, 90, 3), np.uint8)
    assert shrink_to_width(tall, 800).shape == (64_000, 82, 3)
    assert shrink_to_width(tall, 90).shape == (7_200, 9, 3)
    scan, heat = page_pictures(tall, tall[:, :, 0])
    assert (scan[:2], heat[:4]) == (b"\xff\xd8", b"\x89PNG")


def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are screened from now on."""
    names: list[str] = []
    screen_one = FileScreener.screen

    def note(self: FileScreener, scan: NewScan, sha256: str) -> ScreenedFile:
        names.append(scan.name)
        return screen_one(self, scan, sha256)

    monkeypatch.setattr(FileScreener, "screen", note)
    return names


def test_the_page_says_whose_labels_taught_the_score(scans: Path, model: TrainedModel) -> None:
    page = scans.parent / "out/report.html"
    screened(scans, model)
    assert "model.head" not in page.read_text(encoding="utf-8")
    taught = replace(model, provenance={**model.provenance, "labelled_bags": 3})
    screened(scans, taught)
    assert "<div>labels of 3 bags used (model.head)</div>" in page.read_text(encoding="utf-8")


def test_a_killed_screening_goes_on_with_the_next_bag(
    scans: Path, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    screened(scans, model, "whole")
    seen: list[str] = []
    screen_one = FileScreener.screen

    def killed_after_one(self: FileScreener, scan: NewScan, sha256: str) -> ScreenedFile:
        if seen:
            raise KeyboardInterrupt
        seen.append(scan.name)
        return screen_one(self, scan, sha256)

    monkeypatch.setattr(FileScreener, "screen", killed_after_one)
    with pytest.raises(KeyboardInterrupt):
        screened(scans, model)
    records = scans.parent / "out" / "bags.jsonl"
    with records.open("ab") as lines:  # a line that the kill cut short
        lines.write(b'{"file": "b <b')
    monkeypatch.undo()
    again = noted(monkeypatch)
    screened(scans, model)
    assert seen == ["a.png"]
    assert again == ["b <b>&'.png", "cut.png", "sub/a.png"]
    assert without_times(scans.parent / "out") == without_times(scans.parent / "whole")


def test_only_what_is_new_or_changed_is_screened_again(
    scans: Path, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    screened(scans, model)
    again = noted(monkeypatch)
    write_image(scans / "a.png", clutter(7, 3))
    write_image(scans / "cut.png", clutter(8, 3))
    (scans / "sub/a.png").unlink()
    (scans.parent / "out/heat/b <b>&'.png.png").unlink()
    found = screened(scans, model)
    assert again == ["a.png", "b <b>&'.png", "cut.png"]
    assert sorted(file.file for file in found.files) == ["a.png", "b <b>&'.png", "cut.png"]
    assert found.bad == []
    screened(scans, model, "anew")
    assert (
        read_table(scans.parent / "out/bags.csv")[0]["p_value"]
        == (read_table(scans.parent / "anew/bags.csv")[0]["p_value"])
    )


def test_a_bag_that_has_gone_or_is_bad_leaves_no_picture(scans: Path, model: TrainedModel) -> None:
    screened(scans, model)
    (scans / "sub/a.png").unlink()
    (scans / "a.png").write_bytes(b"")
    screened(scans, model)
    pictures = [*scans.parent.glob("out/heat/**/*.*g"), *scans.parent.glob("out/page/**/*.*g")]
    assert {path.name for path in pictures} == {"b <b>&'.png.png", "b <b>&'.png.jpg"}
    assert len(pictures) == 3


def test_a_file_of_another_format_is_in_the_table_with_the_reason(
    scans: Path, model: TrainedModel
) -> None:
    (scans / "sub/b.gif").write_bytes(b"GIF89a")
    (bad,) = (bad for bad in screened(scans, model).bad if bad.file.endswith("b.gif"))
    rows = {row["file"]: row for row in read_table(scans.parent / "out/bags.csv")}
    assert (rows["sub/b.gif"]["sha256"], rows["sub/b.gif"]["reason"]) == ("", bad.reason)
    assert bad.reason.startswith("not a format that is read")


def test_a_folder_with_the_name_of_a_picture_is_a_bad_file(
    scans: Path, model: TrainedModel
) -> None:
    write_image(scans / "a.png.png" / "c.png", clutter(5, 3))
    found = screened(scans, model)
    (reason,) = (bad.reason for bad in found.bad if "have the same name" in bad.reason)
    assert reason.endswith("rename the scan or the folder")
    assert {"b <b>&'.png", "sub/a.png"} < {file.file for file in found.files}
    assert len(found.files) == 3


def test_a_bag_is_done_when_its_line_is_on_the_disk(
    scans: Path, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, synced = [], os.fsync
    records = scans.parent / "out/bags.jsonl"

    def note(file: int) -> None:
        synced(file)
        if records.exists() and os.path.samestat(os.fstat(file), records.stat()):
            lines.append(records.read_bytes().count(b"\n"))

    monkeypatch.setattr(os, "fsync", note)
    screened(scans, model)
    assert lines == [1, 2, 3, 4]


def test_a_damaged_record_is_named_by_its_line(scans: Path, model: TrainedModel) -> None:
    screened(scans, model)
    records = scans.parent / "out/bags.jsonl"
    first, second, *_ = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(first + b"?" + second)
    named = rf"^{records}: line 2: .*remove {records}, and screen again"
    with pytest.raises(InputError, match=named):
        screened(scans, model)


def test_a_bag_without_its_picture_on_the_page_is_screened_again(
    scans: Path, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    screened(scans, model)
    again = noted(monkeypatch)
    for name in ("a.png.jpg", "sub/a.png.png"):
        (scans.parent / "out/page" / name).unlink()
    screened(scans, model)
    assert again == ["a.png", "cut.png", "sub/a.png"]


def test_what_a_killed_screening_left_half_written_is_removed(
    scans: Path, model: TrainedModel
) -> None:
    screened(scans, model)
    left = scans.parent / "out/heat/.a.png.png.999999999.tmp"
    left.touch()
    screened(scans, model)
    assert not left.exists()


def test_workers_that_finish_in_any_order_leave_the_same_table(
    scans: Path, model: TrainedModel
) -> None:
    for name in ("c.png", "d.png"):
        shutil.copy(scans / "a.png", scans / name)  # so their p-values are equal

    def backwards(
        model: TrainedModel, source: ScanSource | None, out: Path, jobs: Sequence[ScanJob]
    ) -> Iterator[ScreenedFile]:
        return (FileScreener.of(model, source, out).screen(*job) for job in reversed(jobs))

    rows = []
    for name, parallel in (("one", None), ("many", backwards)):
        screener_of(scans, model, name, options=ScreeningOptions(RATE, parallel=parallel)).screen()
        rows.append([row["file"] for row in read_table(scans.parent / name / "bags.csv")])
    assert rows[0] == rows[1]


def test_suffixes_are_counted_whatever_their_case(scans: Path, model: TrainedModel) -> None:
    (scans / "other.TXT").touch()
    assert screened(scans, model).others == {".txt": 2, "hidden": 1}


def test_results_whose_origin_cannot_be_read_are_not_gone_on_with(
    scans: Path, model: TrainedModel
) -> None:
    screened(scans, model)
    (scans.parent / "out/screening.json").write_text('{"model": ')
    with pytest.raises(InputError, match="/out: holds the results of another model, "):
        screened(scans, model)


def test_results_of_two_models_are_never_mixed(scans: Path, model: TrainedModel) -> None:
    screened(scans, model)
    with pytest.raises(InputError, match="/out: holds the results of another model, "):
        screened(scans, model, digest="other")
    (scans.parent / "full").mkdir()
    (scans.parent / "full/note.txt").touch()
    (scans.parent / "full/.note.txt.1.tmp").touch()
    with pytest.raises(InputError, match=r"/full: holds other files: choose an empty folder"):
        screened(scans, model, "full")
    assert (scans.parent / "full/.note.txt.1.tmp").exists()  # nothing of others is removed


def test_what_cannot_be_screened_is_named(tmp_path: Path, model: TrainedModel) -> None:
    for given, message in (
        ("none", r"/none: no such file or folder: give an image, or a folder of images$"),
        ("empty", r"/empty: no image in it: expected PNG, JPEG, TIFF, BMP$"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=message):
            screened(tmp_path / given, model)


def test_results_are_not_written_where_scans_are_looked_for(
    scans: Path, model: TrainedModel
) -> None:
    for out in ("in", "in/results", "in/sub/../results"):
        with pytest.raises(InputError, match=f"/{out}: inside of the folder of scans, where its"):
            screened(scans, model, out)
    screened(scans / "a.png", model, "in/results")  # a single scan is not looked for
    (scans.parent / "file").touch()
    with pytest.raises(InputError, match=r"^--out: got '.*/file', expected a folder"):
        screened(scans, model, "file")
    with pytest.raises(InputError, match=r"^--out: got '.*/file/below', expected a path whose"):
        screened(scans, model, "file/below")


def test_a_kill_at_the_first_write_keeps_no_rerun_away(scans: Path, model: TrainedModel) -> None:
    (scans.parent / "out").mkdir()
    (scans.parent / "out/.screening.json.999999999.tmp").touch()
    assert len(screened(scans, model).files) == 3


def test_a_single_scan_whose_name_is_no_text_is_refused(
    tmp_path: Path, model: TrainedModel
) -> None:
    path = tmp_path / os.fsdecode(b"bag\xff.png")
    write_image(tmp_path / "a.png", clutter(7, 3))
    (tmp_path / "a.png").rename(path)
    with pytest.raises(InputError, match=r"^file: got .*, expected a name of printable characters"):
        screened(path, model)


def test_a_name_too_long_for_its_pictures_is_said_and_the_others_are_screened(
    scans: Path, model: TrainedModel
) -> None:
    for length in (220, 221):
        shutil.copy(scans / "a.png", scans / f"{'é' * 100}{'n' * (length - 204)}.png")
    found = screened(scans, model)
    assert len(found.files) == 4
    (long,) = (bad for bad in found.bad if "cut.png" not in bad.file)
    assert long.reason == "a name of 221 bytes, of which 220 are allowed: shorten it"


def test_results_of_other_code_are_not_gone_on_with(
    scans: Path, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    screened(scans, model)
    monkeypatch.setattr("pipeline.screening.records.code_digest", lambda _: "changed")
    with pytest.raises(InputError, match="results of another model, folder or version of SkipScan"):
        screened(scans, model)


def test_a_file_that_cannot_be_read_any_more_keeps_no_verdict(
    scans: Path, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    screener = screener_of(scans, model)
    assert len(screener.screen().files) == 3
    write_image(scans / "a.png", clutter(9, 3))

    def refuse(_: Path) -> str:
        raise PermissionError

    def unreadable(path: Path) -> None:
        raise InputError(f"{path}: cannot be read")

    monkeypatch.setattr("pipeline.common.files.file_digest", refuse)
    monkeypatch.setattr("pipeline.screening.new_scans.read_image", unreadable)
    screener.screen()
    rows = {row["file"]: row for row in read_table(scans.parent / "out/bags.csv")}
    assert (rows["a.png"]["sha256"], rows["a.png"]["reason"]) == ("", "cannot be read")
    assert rows["a.png"]["p_value"] == rows["a.png"]["alarm"] == ""


def test_a_single_file_is_screened(scans: Path, model: TrainedModel) -> None:
    (file,) = screened(scans / "sub/a.png", model, "one").files
    assert file.file == "a.png"


def test_regions_of_all_bags_are_in_one_file(scans: Path, model: TrainedModel) -> None:
    found = screened(scans, model)
    regions = json.loads((scans.parent / "out/regions.json").read_text())
    assert [image["file_name"] for image in regions["images"]] == [f.file for f in found.files]
    assert len(regions["annotations"]) == sum(len(file.regions) for file in found.files)
    threshold = -np.log10(0.05)
    assert all(annotation["score"] > threshold for annotation in regions["annotations"])


def said(
    scans: Path,
    model: TrainedModel,
    rate: float,
    capsys: pytest.CaptureFixture[str],
    out: str | None = "out",
) -> tuple[list[str], list[str], str]:
    """What the command prints on both streams, and its error."""
    model.save(scans.parent / "model.pt")
    arguments = Namespace(
        path=scans, model=str(scans.parent / "model.pt"), out=out and scans.parent / out,
        false_alarm_rate=rate, annotated=False, workers=0, watch=False,
    )  # fmt: skip
    error = ""
    try:
        screen_folder(arguments)
    except InputError as found:
        error = str(found)
    streams = capsys.readouterr()
    return streams.out.splitlines(), streams.err.splitlines(), error


def test_the_command_says_what_was_found(
    scans: Path, model: TrainedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    (scans / "cut.png").unlink()
    out, err, error = said(scans, model, 0.99, capsys)
    folder = scans.parent / "out"
    rows = [row for row in read_table(folder / "bags.csv") if row["alarm"] == "1"]
    assert out == [
        f"{len(rows)} of 3 bags raise an alarm",
        *(f"  {row['file']}: p-value {float(row['p_value']):.3g}" for row in rows),
        "not looked at: 1 .txt, 1 hidden",
        f"open {folder}/report.html; the table is {folder}/bags.csv",
    ]
    assert (err, error) == ([], "")


def test_without_a_folder_for_the_results_the_command_keeps_off_the_stage_s(
    scans: Path,
    model: TrainedModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(scans.parent)
    said(scans / "sub" / "..", model, 0.99, capsys, out=None)
    assert len(read_table(Path("results/screenings", scans.name, "bags.csv"))) == 4


def test_the_command_passes_on_its_options(
    scans: Path, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[Any]()

    def options(*given: Any) -> ScreeningOptions:
        told.append(given)
        return OPTIONS

    monkeypatch.setattr("stages.screen.options_of", options)
    monkeypatch.setattr("stages.screen.terminal.send_output_to", lambda _: None)
    monkeypatch.setattr("stages.screen.watch", lambda screener: told.append(screener.path))
    (scans / "cut.png").unlink()
    model.save(scans.parent / "model.pt")
    shared = {"path": scans, "model": str(scans.parent / "model.pt"), "false_alarm_rate": 0.99}
    for number, more in enumerate((
        {"annotated": True, "workers": 2, "watch": False},
        {"annotated": False, "workers": 0, "watch": True},
    )):  # fmt: skip
        screen_folder(Namespace(**shared, **more, out=scans.parent / f"out{number}"))
    assert told == [(scans, 0.99, True, 2), (scans, 0.99, False, 0), scans]


def test_the_command_knows_a_model_by_its_content(
    scans: Path, model: TrainedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    said(scans, model, 0.99, capsys)
    other = replace(model, provenance={**model.provenance, "epoch": 9})  # at the same address
    error = said(scans, other, 0.99, capsys)[2]
    assert error.startswith(f"{scans.parent}/out: holds the results of another model")


def test_a_rate_that_cannot_be_promised_and_bad_files_are_said(
    scans: Path, model: TrainedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err, error = said(scans, model, 0.1, capsys)
    assert out[0] == "0 of 3 bags raise an alarm"
    promise, bad, *_ = err
    assert promise == (
        "no bag can raise an alarm at the false-alarm rate 0.1: the model's 4 validation bags "
        "allow 0.200 at the least: ask for a higher rate, or train again with more normal scans"
    )
    assert bad.startswith(f"bad input: {scans}/cut.png: cannot be read: ")
    assert error == "1 bad file, named above; all others are screened: mend or remove it"


def test_the_least_rate_itself_can_be_kept(
    model: TrainedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_if_rate_too_low(model, least_rate(model.tails.bags.count))
    assert capsys.readouterr().err == ""


def test_of_many_alarms_the_first_ten_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    files = [ScreenedFile(f"{number:02d}.png", "0", p_value=0.1) for number in range(12)]
    screener = SimpleNamespace(
        options=SimpleNamespace(false_alarm_rate=0.1),
        out=Path("out"),
        model=SimpleNamespace(notes=["a note"]),
    )
    print_results(Screening(files, [], {}), cast(FolderScreener, screener))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["12 of 12 bags raise an alarm", "  00.png: p-value 0.1"]
    assert lines[10:13] == ["  09.png: p-value 0.1", "  and 2 more", "a note"]


def test_as_many_workers_screen_as_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cluster.session.ray_session", nullcontext)
    monkeypatch.setattr("pipeline.screening.on_ray.screen_on_ray", lambda *given: given)
    told: list[Any] = list(on_ray(3, cast(TrainedModel, "model"), None, Path("out"), []))
    assert told == ["model", None, Path("out"), [], 3]


def test_ray_is_told_of_jobs_workers_and_folders(
    model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.screening.on_ray.run_tasks", lambda *given: given)
    jobs = [(NewScan(name, Path("/scans", name)), "") for name in ("a.png", "b.png")]
    told: list[Any] = list(screen_on_ray(model, None, Path("out"), jobs, 3))
    assert told[1:] == [jobs, 3, Path("out"), Path("/scans/a.png")]


def test_a_rate_is_a_share(
    scans: Path, model: TrainedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    for rate in (0.0, 1.0, float("nan")):
        error = said(scans, model, rate, capsys)[2]
        assert error.startswith("--false-alarm-rate: got "), rate


def test_whole_files_are_screened_as_they_arrive(
    scans: Path, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = (scans / "a.png").read_bytes(), (scans / "cut.png").read_bytes()
    (scans / "cut.png").unlink()
    again, rows = noted(monkeypatch), scans.parent / "out" / "bags.csv"
    new, moved, half = scans / "new.png", scans.parent / "moved.png", scans / "half.png"
    moved.write_bytes(whole[:-1])  # a broken file that is whole from the start
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: new.write_bytes(broken),
        lambda: new.write_bytes(whole[:2000]),
        lambda: new.write_bytes(whole),
        lambda: None,
        lambda: (moved.rename(scans / "moved.png"), half.write_bytes(broken)),
        lambda: half.write_bytes(whole[:2000]),  # still being written when moved.png is screened
        lambda: list(map(Path.unlink, (scans / "a.png", half))),
    ]
    seen: list[list[str]] = []

    def step(_seconds: float) -> None:
        seen.append(sorted(row["file"] for row in read_table(rows)) if rows.exists() else [])
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr(time, "sleep", step)
    with pytest.raises(KeyboardInterrupt):
        watch(screener_of(scans, model))
    first = ["a.png", "b <b>&'.png", "sub/a.png"]
    assert seen == [
        [], first, first, first, first, [*first[:2], "new.png", "sub/a.png"],
        [*first[:2], "new.png", "sub/a.png"],
        [*first[:2], "moved.png", "new.png", "sub/a.png"],
        ["b <b>&'.png", "moved.png", "new.png", "sub/a.png"],
    ]  # fmt: skip
    assert again == [*first, "new.png", "moved.png"]


def test_a_watched_folder_that_vanishes_is_named(
    scans: Path, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: scans.rename(scans.parent / "elsewhere"))
    with pytest.raises(InputError, match=r"^--watch: got '.*/in', expected a folder"):
        watch(screener_of(scans, model))


@pytest.fixture
def project(scans: Path, model: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the stage runs, with a model and new scans in `in`."""
    folder = scans.parent
    (scans / "cut.png").unlink()
    monkeypatch.chdir(folder)
    model.save(folder / "results/train/model.pt")
    (folder / "data").mkdir()
    (folder / "data/README.md").touch()
    set_folder("in")
    (folder / "presets.yaml").write_text(json.dumps({"tiny": TINY}))
    return folder


def set_folder(name: str, **options: object) -> None:
    screen = {"folder": name, "false_alarm_rate": RATE, **options}
    Path("params.yaml").write_text(json.dumps({**NEEDED, "screen": screen}))


def test_the_stage_screens_the_folder_of_the_parameters(
    project: Path, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = noted(monkeypatch)
    main()
    rows = read_table(project / "results/screen/bags.csv")
    assert [row["file"] for row in rows if row["alarm"] == "1"] == [
        row["file"] for row in rows if float(row["p_value"]) <= RATE
    ]
    main()
    assert len(again) == 3  # the second run had nothing to do
    replace(model, provenance={"trained": "anew"}).save(project / "results/train/model.pt")
    main()
    assert len(again) == 6  # results of another model are replaced
    set_folder("in/sub")
    main()
    assert again[6:] == ["a.png"]


def test_the_stage_takes_the_options_of_its_own_block(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_folder("in", annotations="scans", workers=2)
    told = list[Any]()

    def options(*given: Any) -> ScreeningOptions:
        told.extend(given)
        return OPTIONS

    monkeypatch.setattr("stages.screen.options_of", options)
    main()
    assert told == [Path("in"), RATE, True, 2]
    assert "no bag can raise an alarm" not in capsys.readouterr().err  # 4 bags allow 0.2


def test_what_a_killed_removal_left_is_removed(project: Path) -> None:
    write_atomically(project / "results/screen/heat/old.png", b"old")
    main()
    assert not (project / "results/screen/heat/old.png").exists()
    assert len(read_table(project / "results/screen/bags.csv")) == 3


def test_without_new_scans_the_stage_says_so_and_leaves_no_results(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main()
    capsys.readouterr()
    set_folder(NO_FOLDER)
    main()
    said = capsys.readouterr().out
    assert said == (
        "screen.folder is data/README.md, no folder of new scans: nothing is screened\n"
    )
    left = {
        path.name: json.loads(path.read_text()) for path in (project / "results/screen").iterdir()
    }
    assert left == {"screening.json": {"folder": None}}
    set_folder("in")
    main()
    assert "bags.csv" in {path.name for path in (project / "results/screen").iterdir()}


def test_the_same_name_in_another_folder_is_another_screening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        found.append(screening_identity("model", Path("in")))
    assert found[0] != found[1]
