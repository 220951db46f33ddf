"""Screening of sets with annotations: hits and misses, by the set's own format."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.common.files import read_table
from pipeline.models.trained_model import TrainedModel
from pipeline.pages.pictures import draw_outlines, heat_levels, overlay_heat, page_pictures
from pipeline.scans.bad_input import BadInput
from pipeline.scans.images import read_image
from pipeline.scans.scan import Listing, Scan, ScanEntry, ScanSource, SetFiles
from pipeline.scans.sources.cifar10 import Cifar10Source
from pipeline.scans.sources.coco import CocoSource
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from pipeline.scans.sources.registry import open_folder
from pipeline.screening.file_screener import FileScreener, _is_on
from pipeline.screening.folder_screener import FolderScreener, Screening, ScreeningOptions
from pipeline.screening.image_screener import ImageScreener, Look
from pipeline.screening.new_scans import ScanJob, with_annotations
from pipeline.screening.records import ScreenedFile, hits_text, write_bags
from pipeline.settings.blocks import ScanSettings
from stages.screen import finish, options_of
from tests.sources.sets import NEEDED, TINY
from tests.tiny import make_cifar, make_sixray
from tests.tiny_model import make_model

RATE = 0.3


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return make_model()


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three normal bags and four with threats, and files of other kinds."""
    folder = make_sixray(tmp_path / "in", normal=3, threat=4)
    (folder / "note.txt").write_text("a note")
    return folder


def masks(folder: Path) -> ScanSource:
    return MasksSource(folder, SIXRAY, stretched=True)


def screened(folder: Path, model: TrainedModel, source: ScanSource) -> Screening:
    out = folder.parent / "out"
    options = ScreeningOptions(RATE, source)
    return FolderScreener(folder, model, {"model": "m"}, out, options).screen()


def test_windows_to_look_at_are_compared_with_the_annotated_threats(
    scans: Path, model: TrainedModel
) -> None:
    source = masks(scans)
    found = {file.file: file for file in screened(scans, model, source).files}
    entries = source.listing().entries
    assert found.keys() == {str(entry.files[0].relative_to(scans)) for entry in entries}
    every: list[bool] = []
    for entry in entries:
        file = found[str(entry.files[0].relative_to(scans))]
        threats = source.read(entry).threats()
        assert file.classes == entry.classes
        on = [
            any(threats[y, x] for y in range(look.top, look.top + look.height)
                for x in range(look.left, look.left + look.width))
            for look in file.looks
        ]  # fmt: skip
        assert list(file.on_threat) == on
        every += on
    assert {True, False} == set(every)


def test_a_window_beside_a_threat_is_not_on_it() -> None:
    threats = np.zeros((40, 60), dtype=np.bool_)
    threats[20:24, 30:34] = True
    places = ((15, 25), (14, 21), (15, 20), (15, 34), (10, 25), (24, 25))
    on = [_is_on(Look(left, top, 10, 10, 0.1), threats) for top, left in places]
    assert on == [True, True, False, False, False, False]


def test_the_table_has_classes_and_hits(scans: Path, model: TrainedModel) -> None:
    found = screened(scans, model, masks(scans))
    rows = read_table(scans.parent / "out/bags.csv")
    assert [row["classes"] for row in rows] == [" ".join(f.classes or ()) for f in found.files]
    assert [[row[f"look{n}_on_threat"] for n in (1, 2, 3)] for row in rows] == [
        [str(int(on)) for on in file.on_threat] for file in found.files
    ]
    assert found.others == {".txt": 1}
    page = (scans.parent / "out/report.html").read_text(encoding="utf-8")
    for line in hits_text(found.files, RATE):
        assert f"<div>at a false-alarm rate of 0.3: {line}</div>" in page


def test_all_classes_of_a_bag_are_in_the_table(tmp_path: Path) -> None:
    bags = [ScreenedFile("a", "", classes=names) for names in (("gun", "knife"), ())]
    write_bags(tmp_path, bags, RATE)
    assert [row["classes"] for row in read_table(tmp_path / "bags.csv")] == ["gun knife", ""]


def test_workers_read_the_annotations(scans: Path, model: TrainedModel) -> None:
    given: list[ScanSource | None] = []

    def parallel(
        model: TrainedModel, source: ScanSource | None, out: Path, jobs: Sequence[ScanJob]
    ) -> Iterator[ScreenedFile]:
        given.append(source)
        return (FileScreener.of(model, source, out).screen(*job) for job in jobs)

    source = masks(scans)
    options = ScreeningOptions(RATE, source, parallel)
    FolderScreener(scans, model, {"model": "m"}, scans.parent / "out", options).screen()
    assert given == [source]


def test_threats_are_outlined_in_the_heat_map(scans: Path, model: TrainedModel) -> None:
    source, screener = masks(scans), ImageScreener.of(model)
    screened(scans, model, source)
    for entry in source.listing().entries:
        scan, name = source.read(entry), entry.files[0].relative_to(scans)
        found = read_image(scans.parent / f"out/heat/{name}.png")
        levels = heat_levels(screener.screen(scan.image).evidence)
        expected = overlay_heat(draw_outlines(scan.image, scan.threats()), levels)
        np.testing.assert_allclose(found, expected, atol=1)
        files = [scans.parent / f"out/page/{name}.{kind}" for kind in ("jpg", "png")]
        on_page = page_pictures(draw_outlines(scan.image, scan.threats()), levels)
        assert [path.read_bytes() for path in files] == list(on_page)


def test_a_scan_whose_annotation_has_changed_is_screened_again(
    scans: Path, model: TrainedModel
) -> None:
    before = {file.file: file for file in screened(scans, model, masks(scans)).files}
    changed, *others = [file for file in before.values() if any(file.on_threat)]
    (mask,) = (scans / "masks").glob(f"{Path(changed.file).stem}.*")
    moved = np.roll(read_image(mask)[:, :, 0], 16, axis=1)
    cv2.imwrite(str(mask), moved)
    after = {file.file: file for file in screened(scans, model, masks(scans)).files}
    assert after[changed.file].on_threat != changed.on_threat
    assert all(after[file.file] == file for file in others)  # the seconds, too


def test_scans_whose_annotations_are_read_otherwise_are_screened_again(
    scans: Path, model: TrainedModel
) -> None:
    def on_threats(params: dict[str, object]) -> int:
        options = ScreeningOptions(RATE, masks(scans), source_params=params)
        found = FolderScreener(scans, model, {"model": "m"}, scans.parent / "out", options).screen()
        return sum(any(file.on_threat) for file in found.files)

    assert on_threats({"classes": {}}) > 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Scan, "threats", lambda scan: np.zeros(scan.image.shape[:2], np.bool_))
        assert on_threats({"classes": {}}) > 0  # nothing has changed on the disk
        assert on_threats({"classes": {"knife": "ignore"}}) == 0


def test_every_bad_file_is_counted_once(scans: Path, model: TrainedModel) -> None:
    (scans / "normal" / "moving.gif").write_bytes(b"GIF89a")
    source = masks(scans)
    listing = source.listing()
    more = BadInput(str(scans), "3 images have no annotation", count=3)
    source.listing = lambda: replace(listing, bad=[*listing.bad, more])  # type: ignore[method-assign]
    found = screened(scans, model, source)
    assert [bad.count for bad in found.bad] == [1, 3]
    page = (scans.parent / "out/report.html").read_text(encoding="utf-8")
    assert "<h1>7 bags screened, 4 files skipped" in " ".join(page.split())
    screener = FolderScreener(scans, model, {"model": "m"}, scans.parent / "out",
                              ScreeningOptions(RATE, source))  # fmt: skip
    with pytest.raises(InputError, match=r"^4 bad files, named above; all others are screened"):
        finish(screener)
    rows = [row for row in read_table(scans.parent / "out/bags.csv") if row["reason"]]
    assert sorted(row["file"] for row in rows) == [".", "normal/moving.gif"]


def test_hits_are_counted() -> None:
    def bag(p_value: float, classes: tuple[str, ...] | None, *on: bool) -> ScreenedFile:
        return ScreenedFile("a", "", p_value=p_value, classes=classes, on_threat=on)

    gun = ("gun",)
    files = [
        bag(0.1, gun, True, False, False),
        bag(0.3, gun, False, False, True),
        bag(0.4, gun, False, False, False),
        bag(0.5, gun),
        bag(0.2, (), False, False, False),
        bag(0.9, (), False, False, False),
        bag(0.9, ()),
    ]
    assert hits_text(files, 0.3) == [
        "bags with a threat: 2 of 4 raise an alarm; the first window is on a threat in 1, one of "
        "the windows to look at in 2",
        "bags without a threat: 1 of 3 raise an alarm",
    ]
    assert hits_text([bag(0.1, None)], 0.3) == []
    assert hits_text(files[4:], 0.3) == ["bags without a threat: 1 of 3 raise an alarm"]


def test_the_folder_is_read_in_the_format_of_the_set(scans: Path) -> None:
    there = open_folder(ScanSettings(source="sixray", folder="elsewhere", count=1), scans)
    assert there.listing().entries == masks(scans).listing().entries
    assert isinstance(
        open_folder(ScanSettings(count=1), scans), CocoSource
    )  # as generated scans are


@pytest.mark.parametrize("workers", [0, 2])
def test_the_classes_of_params_yaml_are_part_of_what_annotations_say(
    scans: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.chdir(scans.parent)
    (scans.parent / "presets.yaml").write_text(json.dumps({"tiny": TINY}))
    found, opened = [], list[Path]()
    registry = "pipeline.scans.sources.registry"
    monkeypatch.setattr(f"{registry}.open_folder", lambda _, folder: opened.append(folder))
    for classes in ({"handgun": "gun"}, {"handgun": "ignore"}):
        block = {"source": "voc", "folder": "elsewhere", "classes": classes}
        Path("params.yaml").write_text(json.dumps({**NEEDED, "scans": block}))
        options = options_of(scans, RATE, annotated=True, workers=workers)
        assert (options.parallel is None) == (workers == 0)
        found.append(options.source_params)
    assert found[0] != found[1]
    assert opened == [scans, scans]  # not of `scans.folder`


def test_a_file_of_many_scans_is_refused(tmp_path: Path, model: TrainedModel) -> None:
    (tmp_path / "in").mkdir()
    source = Cifar10Source(make_cifar(tmp_path / "in"), "car")
    with pytest.raises(InputError, match=r"/in: a file holds several scans: give a file for each"):
        screened(tmp_path / "in", model, source)


def test_annotations_in_a_common_file_and_classes_are_digested(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"1")

    def digest_of(classes: tuple[str, ...], records: str, classes_of: str = "") -> str:
        files = SetFiles(tmp_path, (image,), (), (), ())
        entry = ScanEntry("a", (image,), classes, records=records)
        listing = Listing(files, [entry], [], names=frozenset())
        source = cast(ScanSource, SimpleNamespace(listing=lambda: listing))
        return with_annotations(tmp_path, source, {"classes": classes_of}).scans[0].annotations

    found = {
        digest_of(("gun",), "1"), digest_of(("gun",), "2"), digest_of(("knife",), "1"),
        digest_of(("gun",), "1", "other"),
    }  # fmt: skip
    assert len(found) == 4
