import errno
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pipeline.patches.extraction
from pipeline.common.errors import InputError
from pipeline.common.files import digest, file_digest
from pipeline.common.names import (
    IGNORED,
    IGNORED_VALIDATION,
    LABELLED_TRAINING,
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
)
from pipeline.evaluation.bags import scored_bags, tails_of
from pipeline.evaluation.figure_data import pick_exemplars, pick_scans
from pipeline.evaluation.figures import draw_exemplars, draw_scans
from pipeline.evaluation.inputs import EvaluationInputs
from pipeline.evaluation.principal_components import PrincipalComponents
from pipeline.evaluation.scores import ANOMALY, PatchScorer, score_store
from pipeline.models.detector import build_detector
from pipeline.models.trained_model import Calibration
from pipeline.patches.cutting import Recipe, ShardResult, cut_shard, deciding_code
from pipeline.patches.extraction import ShardJob, extract_patches, plan
from pipeline.patches.folder import SCAN_RESULTS, patches_text
from pipeline.patches.manifest import MANIFEST
from pipeline.patches.shard_file import Shard
from pipeline.patches.store import PatchStore
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.classes import AS_NAMED, ClassMap
from pipeline.scans.scan import Region, Scan, ScanEntry
from pipeline.scans.sources.voc import VocSource
from pipeline.scans.sources.yolo import YoloSource
from pipeline.settings.blocks import ExtractSettings
from pipeline.settings.scans import BadInputRule
from pipeline.training.criterion import load_validation
from pipeline.training.loop import Worker, net_shape, train
from tests.arrays import ArraySource, clutter, make_set, save
from tests.tiny import TRAIN as SETTINGS

EXTRACT = ExtractSettings(size=16, stride=8, shard_scans=2)
CALIBRATION = Calibration(0.0, 1.0, 0.5, 0.05)


def extract(
    folder: Path, rows: Sequence[CatalogueRow], bad_input: BadInputRule = "fail"
) -> dict[str, Any]:
    return extract_patches(folder / "patches", rows, ArraySource(), EXTRACT, bad_input)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in (folder / "patches").iterdir()}


def shards(folder: Path) -> set[Path]:
    return set((folder / "patches").glob("*.h5"))


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_the_same_input_gives_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    rows = make_set(tmp_path)
    for name, given in (("a", rows), ("b", rows[::-1])):
        extract(tmp_path / name, given)
    assert len(digests(tmp_path / "a")) > len(SPLITS)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_shards_cut_elsewhere_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handed_over: list[ShardJob] = []

    def parallel(recipe: Recipe, jobs: Sequence[ShardJob]) -> Iterator[ShardResult]:
        handed_over.extend(jobs)
        return (cut_shard(recipe, *job) for job in reversed(jobs))  # as they are ready

    rows = make_set(tmp_path)
    extract(tmp_path / "a", rows)
    extract_patches(tmp_path / "b" / "patches", rows, ArraySource(), EXTRACT, parallel=parallel)
    assert handed_over == []  # a small set is not worth it
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    monkeypatch.setattr(pipeline.patches.extraction, "WORTH_RAY_SECONDS", 0.0)
    extract_patches(tmp_path / "c" / "patches", rows, ArraySource(), EXTRACT, parallel=parallel)
    assert len(handed_over) == len(shards(tmp_path / "c")) - 1
    assert digests(tmp_path / "a") == digests(tmp_path / "c")


def test_shards_are_cut_elsewhere_if_they_would_take_over_30_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extraction: Any = pipeline.patches.extraction
    monkeypatch.setattr(extraction, "cut_shard", lambda *_: "here")

    def cut(shards: int) -> list[str]:
        ticks = count(0, 4)  # a shard takes 4 seconds
        monkeypatch.setattr(extraction, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
        jobs = [(TRAIN, ())] * shards
        return list(extraction._cut_here_first(None, jobs, lambda _, rest: ["there"] * len(rest)))

    assert cut(8) == ["here"] * 8
    assert cut(9) == ["here", *["there"] * 8]


def test_a_scan_that_is_added_leaves_the_other_shards_alone(tmp_path: Path) -> None:
    rows = make_set(tmp_path, scans=18)
    extract(tmp_path, rows[1:])
    before = {path: path.stat().st_mtime_ns for path in shards(tmp_path)}
    (old,) = {path.name for path in before} - {path.name for path in after_adding(tmp_path, rows)}
    kept = {path: path.stat().st_mtime_ns for path in shards(tmp_path) if path in before}
    assert kept == {path: when for path, when in before.items() if path.name != old}


def after_adding(folder: Path, rows: list[CatalogueRow]) -> set[Path]:
    extract(folder, rows)
    assert digests(folder).keys() >= {path.name for path in shards(folder)}
    return shards(folder)


def test_a_run_goes_on_with_what_is_missing_or_damaged(tmp_path: Path) -> None:
    rows = make_set(tmp_path)
    extract(tmp_path, rows)
    expected = digests(tmp_path)
    missing, damaged, *others = sorted(shards(tmp_path))
    when = {path: path.stat().st_mtime_ns for path in others}
    missing.unlink()
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    (tmp_path / "patches" / ".half.tmp").write_bytes(b"half a shard")
    (tmp_path / "patches" / "scans.jsonl").write_text("of an earlier version\n")
    extract(tmp_path, rows)
    assert digests(tmp_path) == expected
    assert {path: path.stat().st_mtime_ns for path in others} == when
    assert list((tmp_path / "patches").glob(".*")) == []


def test_other_settings_are_never_taken_for_these(tmp_path: Path) -> None:
    rows = make_set(tmp_path)
    first = extract(tmp_path, rows)
    before = shards(tmp_path)
    params = {"classes": "others"}
    second = extract_patches(
        tmp_path / "patches", rows, ArraySource(), EXTRACT, source_params=params
    )
    assert before.isdisjoint(shards(tmp_path))
    assert first["data"] != second["data"]


def test_a_line_for_every_scan_and_a_table(tmp_path: Path) -> None:
    manifest = extract(tmp_path, make_set(tmp_path))
    found = (tmp_path / "patches" / SCAN_RESULTS).read_text().splitlines()
    assert len(found) == 12
    assert all('"skipped": null' in line for line in found)
    table = patches_text(manifest, 2.0).splitlines()
    assert table[0].split() == [
        "split", "scans", "skipped", "normal", "knife", "grazing", "background"
    ]  # fmt: skip
    windows = sum(sum(split["classes"].values()) for split in manifest["splits"].values())
    assert table[-1] == (
        f"12 scans and {windows} windows, without grazing and background, in 2.0 s: "
        f"6.0 scans/s, {windows / 2:.0f} windows/s"
    )


BAD = {
    "s00": (clutter(0, 3, 15, 64), "a scan of 64x15 pixels is smaller than a window of 16x16"),
    "s01": (clutter(1, 1), "1 channels, but {folder}/scans/s02.npy has 3: a set has one number"),
    "s06": (np.full((48, 64, 3), 255, np.uint8), "no window is left: 35 are background and 0"),
}


@pytest.mark.parametrize("rule", ["fail", "skip"])
def test_scans_that_cannot_be_used_are_named_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: BadInputRule
) -> None:
    changed = {name: image for name, (image, _) in BAD.items()}
    rows = make_set(tmp_path, changed=changed)
    (tmp_path / "scans" / "s07.npy").write_bytes(b"")
    rows = [rows[2], *rows[:2], *rows[3:]]  # the first that can be read has three channels
    if rule == "fail":
        with pytest.raises(InputError, match=r"^4 bad files, named above"):
            extract(tmp_path, rows, rule)
        assert not (tmp_path / "patches" / MANIFEST).exists()
    else:
        assert extract(tmp_path, rows, rule)["splits"][TRAIN]["skipped"] == 4
        store = PatchStore(tmp_path / "patches", TRAIN)
        assert set(store.scan_ids) == {"s02", "s08"}
        assert_results_are_of_the_shards(tmp_path / "patches", skipped={*BAD, "s07"})
    said = capsys.readouterr().err
    start = "skipped: " if rule == "skip" else "bad input: "
    assert len(lines(said, start)) == 4
    for name, (_, reason) in {**BAD, "s07": (None, "cannot be read")}.items():
        expected = f"{start}{tmp_path}/scans/{name}.npy: {reason.format(folder=tmp_path)}"
        assert len(lines(said, expected)) == 1


def test_a_scan_that_is_left_out_leaves_no_trace_in_its_shard(tmp_path: Path) -> None:
    first, bad, last = make_set(tmp_path, changed={"s01": BAD["s01"][0]})[:3]
    cut = []
    for name, given in (("with", [first, bad, last]), ("without", [first, last])):
        recipe, _ = plan(tmp_path / name, [first], ArraySource(), EXTRACT)
        cut.append(tmp_path / name / cut_shard(recipe, TRAIN, given).file)
    assert len({path.name for path in cut}) == len({file_digest(path) for path in cut}) == 1


def assert_results_are_of_the_shards(folder: Path, skipped: set[str]) -> None:
    found = [json.loads(line) for line in (folder / SCAN_RESULTS).read_text().splitlines()]
    assert {line["scan_id"] for line in found if line["shard"] is None} == skipped
    for line in found:
        if line["scan_id"] in skipped:
            assert (line["windows"], line["grazing"], line["background"]) == ({}, 0, 0)
            continue
        shard = Shard(folder / line["shard"])
        place = shard.column("scan_ids").tolist().index(line["scan_id"].encode())
        of_scan = shard.column("scans") == place
        classes = [shard.about["classes"][code] for code in shard.column("labels")[of_scan]]
        assert line["windows"] == dict(Counter(classes))


def test_kept_shards_have_the_same_results(tmp_path: Path) -> None:
    image = clutter(5, 3)
    image[:, 48:] = 255  # windows of air, whose number is not that of the grazing ones
    # All scans of a split are in one shard, the normal ones of the test beside the abnormal ones.
    folder, rule = tmp_path / "patches", replace(EXTRACT, min_window_share=0.5, shard_scans=12)
    rows = make_set(tmp_path, changed={"s05": image})
    manifest = extract_patches(folder, rows, ArraySource(), rule)
    path = folder / SCAN_RESULTS
    first = path.read_text()
    (abnormal,) = (line for line in map(json.loads, first.splitlines()) if line["scan_id"] == "s05")
    assert 0 < abnormal["grazing"] != abnormal["background"] > 0
    path.unlink()
    assert extract_patches(folder, rows, ArraySource(), rule) == manifest
    assert path.read_text() == first


def test_a_mended_scan_comes_in_at_the_next_run(tmp_path: Path) -> None:
    rows = make_set(tmp_path)
    extract(tmp_path / "whole", rows)
    broken = tmp_path / "scans" / "s02.npy"
    whole = broken.read_bytes()
    broken.write_bytes(b"")
    extract(tmp_path, rows, "skip")
    assert digests(tmp_path) != digests(tmp_path / "whole")
    broken.write_bytes(whole)
    extract(tmp_path, rows, "skip")
    assert digests(tmp_path) == digests(tmp_path / "whole")


def test_a_file_that_changed_after_its_digest_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = make_set(tmp_path)
    path = tmp_path / "scans" / "s02.npy"
    listed = path.read_bytes()
    save(path, clutter(99, 3))
    extract(tmp_path, rows, "skip")
    expected = f"skipped: {path}: changed since the stage scans read it: run `dvc repro`"
    assert capsys.readouterr().err.splitlines().count(expected) == 1
    path.write_bytes(listed)
    extract(tmp_path, rows)
    extract(tmp_path / "whole", rows)
    assert digests(tmp_path) == digests(tmp_path / "whole")


def test_a_folder_among_the_shards_is_refused_before_any_is_cut(tmp_path: Path) -> None:
    (tmp_path / "patches" / ".ipynb_checkpoints").mkdir(parents=True)
    with pytest.raises(InputError, match=r"\.ipynb_checkpoints: a folder, .*: remove it"):
        extract(tmp_path, make_set(tmp_path))
    assert not shards(tmp_path)


def test_a_folder_that_is_a_file_is_not_called_full(tmp_path: Path) -> None:
    (tmp_path / "patches").touch()
    with pytest.raises(InputError, match=r"cannot be written \(.*: make it a writable folder and"):
        extract(tmp_path, make_set(tmp_path))


def test_more_classes_than_a_shard_can_hold_are_refused_before_any_is_cut(tmp_path: Path) -> None:
    rows = make_set(tmp_path)
    names = tuple(f"class {number}" for number in range(256))
    rows = [replace(row, classes=names) if row.classes else row for row in rows]
    with pytest.raises(InputError, match="256 abnormal classes in a shard of the test split"):
        extract(tmp_path, rows)
    assert not shards(tmp_path)


def test_no_scan_left_to_train_on(tmp_path: Path) -> None:
    air = {f"s{number:02d}": np.full((48, 64, 3), 255, np.uint8) for number in range(12)}
    with pytest.raises(InputError, match="no window is left in the train split"):
        extract(tmp_path, make_set(tmp_path, changed=air), "skip")


def test_no_scan_left_to_validate_on_and_no_manifest_of_an_earlier_run(tmp_path: Path) -> None:
    extract(tmp_path, make_set(tmp_path))
    air = {name: np.full((48, 64, 3), 255, np.uint8) for name in ("s03", "s09")}
    with pytest.raises(InputError, match="no window is left in the validation split"):
        extract(tmp_path, make_set(tmp_path, changed=air), "skip")
    assert not (tmp_path / "patches" / MANIFEST).exists()


class VanishingSource(ArraySource):
    """Its folder is gone from the third scan on."""

    def __init__(self) -> None:
        self.read_so_far = 0

    def read(self, entry: ScanEntry) -> Scan:
        self.read_so_far += 1
        if self.read_so_far == 3:
            folder = entry.files[0].parent
            folder.rename(folder.with_name("gone"))
        return super().read(entry)


def test_a_folder_that_vanishes_ends_the_run_in_one_line(tmp_path: Path) -> None:
    rows = make_set(tmp_path)
    with pytest.raises(
        InputError, match=f"^{tmp_path}/scans: the folder is gone: .*again"
    ) as error:
        extract_patches(tmp_path / "patches", rows, VanishingSource(), EXTRACT, "skip")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "patches" / MANIFEST).exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_in_one_line_and_no_half_shard(tmp_path: Path, small_disk: Path) -> None:
    rows = make_set(tmp_path)
    with pytest.raises(InputError, match=r"/disk/patches: cannot be written \(.*room") as error:
        extract(small_disk, rows)
    assert os.strerror(errno.ENOSPC) in str(error.value)
    assert "\n" not in str(error.value)
    left = list((small_disk / "patches").iterdir())
    assert not [path for path in left if path.name.startswith(".")]
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    extract(small_disk, rows)
    extract(tmp_path, rows)
    assert digests(small_disk) == digests(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_scans_of_one_or_two_channels_to_scores_and_figures(tmp_path: Path, channels: int) -> None:
    rows = make_set(tmp_path, channels)
    assert extract(tmp_path, rows)["channels"] == channels
    store = PatchStore(tmp_path / "patches", TRAIN)
    assert store.read(0, 3).shape == (3, 16, 16, channels)
    validation = PatchStore(tmp_path / "patches", VALIDATION)
    state = train(
        SETTINGS,
        store,
        load_validation(validation, seed=0, labelled=None),
        Worker(),
        lambda metrics, state: None,
    )
    networks, shape = state["best"]["networks"], net_shape(SETTINGS, store)
    detector = build_detector(shape, networks, SETTINGS.model)
    test = PatchStore(tmp_path / "patches", TEST)
    every = PatchScorer(detector, CALIBRATION, PrincipalComponents.fit(store))
    scores = score_store(test, every)
    assert all(np.isfinite(found).all() for found in scores.scores.values())
    assert 0 < scores.normal.sum() < len(test)
    left_out = CatalogueRow("bad", TEST, (), ("no such file",), ("",))
    tested = [left_out, *(row for row in rows if row.split == TEST)]
    inputs = EvaluationInputs(test, tested, ArraySource(), EXTRACT, detector, CALIBRATION)
    draw_exemplars(tmp_path / "exemplars.png", pick_exemplars(inputs, scores, 2, seed=0))
    tails = tails_of(score_store(validation, every))
    bags = list(scored_bags(inputs, scores, tails, every))
    draw_scans(tmp_path / "scans.png", pick_scans(inputs, bags, tails[ANOMALY]), "")
    assert {path.stem for path in tmp_path.glob("*.png")} == {"exemplars", "scans"}


class FilledSource(ArraySource):
    """The threat of the scan s05 fills it."""

    def read(self, entry: ScanEntry) -> Scan:
        scan = super().read(entry)
        for region in scan.regions:
            region.mask[:] |= entry.scan_id == "s05"
        return scan


def test_of_a_bag_with_a_threat_only_windows_outside_of_it_train(tmp_path: Path) -> None:
    rows = [
        replace(row, split=TRAIN) if row.classes else row for row in make_set(tmp_path, scans=18)
    ]
    extract_patches(tmp_path / "patches", rows, FilledSource(), EXTRACT)
    store = PatchStore(tmp_path / "patches", TRAIN)
    assert store.is_normal().all()
    origins = {
        scan: {tuple(origin) for origin in store.origins[store.scan_ids == scan].tolist()}
        for scan in ("s00", "s05", "s11")
    }
    # Windows of 16 pixels every 8; the threat of s11 is rows 0 to 23 and columns 0 to 31.
    touching = {(row, column) for row, column in origins["s00"] if row < 24 and column < 32}
    assert len(touching) == 12
    assert origins["s11"] == origins["s00"] - touching
    assert origins["s05"] == set()


def test_a_shard_without_windows_is_not_named_but_kept_for_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [replace(row, split=TRAIN) if row.classes else row for row in make_set(tmp_path)]
    settings = replace(EXTRACT, shard_scans=1)
    manifest = extract_patches(tmp_path / "patches", rows, FilledSource(), settings)
    lines = (tmp_path / "patches" / SCAN_RESULTS).read_text().splitlines()
    named = {found["scan_id"]: found["shard"] for found in map(json.loads, lines)}
    assert named["s05"] is None
    (empty,) = {path.name for path in shards(tmp_path)} - set(named.values())
    assert empty not in json.dumps(manifest)
    reads: list[str] = []
    read = FilledSource.read

    def counted(source: FilledSource, entry: ScanEntry) -> Scan:
        reads.append(entry.scan_id)
        return read(source, entry)

    monkeypatch.setattr(FilledSource, "read", counted)
    assert extract_patches(tmp_path / "patches", rows, FilledSource(), settings) == manifest
    assert reads == ["s00"]  # for the number of channels


@pytest.mark.slow
def test_labelled_training_bags_are_cut_counted_and_shown_where_there_are_any(
    tmp_path: Path,
) -> None:
    rows = make_set(tmp_path, scans=24)
    before = extract(tmp_path, rows)
    assert before["labelled_bags"] == before["splits"][LABELLED_TRAINING]["scans"] == 0
    others = {name: of for name, of in before["splits"].items()
              if name not in (LABELLED_TRAINING, IGNORED_VALIDATION)}  # fmt: skip
    assert before["data"] == digest(others)  # as it was before there was such a split
    assert not lines(patches_text(before, 1.0), LABELLED_TRAINING)
    teaching = {"s05", "s11", "s17"}
    moved = [replace(row, split=LABELLED_TRAINING) if row.scan_id in teaching else row
             for row in rows]  # fmt: skip
    bags = {"s05": "x", "s11": "x", "s23": "y"}
    found = extract_patches(tmp_path / "patches", moved, ArraySource(), EXTRACT, bags=bags)
    assert found["labelled_bags"] == 2
    assert found["data"] != before["data"]
    (line,) = lines(patches_text(found, 1.0), LABELLED_TRAINING)
    assert line.split()[1] == "3"
    store = PatchStore(tmp_path / "patches", LABELLED_TRAINING)
    assert set(store.scan_ids.tolist()) == teaching
    assert set(store.labels.tolist()) == {"normal", "knife"}
    grazing = sum(found["splits"][name]["grazing"] for name in (LABELLED_TRAINING, TEST))
    assert grazing == before["splits"][TEST]["grazing"]
    (tmp_path / "scans" / "s17.npy").write_bytes(b"")  # the only scan of its bag
    (tmp_path / "scans" / "s05.npy").write_bytes(b"")  # of another bag, from which s11 is left
    empty = (file_digest(tmp_path / "scans" / "s05.npy"),)
    without = [replace(row, digests=empty) if row.scan_id in ("s05", "s17") else row
               for row in moved]  # fmt: skip
    folder = tmp_path / "patches"
    found = extract_patches(folder, without, ArraySource(), EXTRACT, "skip", bags=bags)
    assert found["labelled_bags"] == 1


class IgnoringSource(ArraySource):
    """Two validation scans have an ignored object each."""

    classes = ClassMap({"person": "ignore", "*": "*"})

    def read(self, entry: ScanEntry) -> Scan:
        scan = super().read(entry)
        mask = np.zeros(scan.image.shape[:2], dtype=np.bool_)
        mask[:8, :8] = entry.scan_id in ("s03", "s15")
        return replace(scan, regions=(*scan.regions, Region(IGNORED, mask)))


def test_windows_on_ignored_objects_are_read_after_the_split_that_asks_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = make_set(tmp_path, scans=24)
    (tmp_path / "scans" / "s09.npy").write_bytes(b"")
    rows = [replace(row, digests=(file_digest(Path(row.files[0])),)) for row in rows]
    folder = tmp_path / "patches"
    found = extract_patches(folder, rows, IgnoringSource(), EXTRACT, "skip")
    assert capsys.readouterr().err.count("s09.npy: cannot be read") == 1
    normals = PatchStore(folder, VALIDATION)
    bags = PatchStore(folder, VALIDATION, also=IGNORED_VALIDATION)
    assert len(bags) == len(normals) + 2
    assert normals.labels.tolist() == ["normal"] * len(normals)
    assert bags.labels.tolist() == [*normals.labels.tolist(), IGNORED, IGNORED]
    first, last = bags.scan_ids.tolist()[-2:]
    assert {first, last} == {"s03", "s15"}
    assert bags.scan_ids.tolist()[:-2] == normals.scan_ids.tolist()
    corners = [np.load(tmp_path / "scans" / f"{name}.npy")[:16, :16] for name in (first, last)]
    np.testing.assert_array_equal(bags.read(len(normals), len(bags)), corners)
    listed = [json.loads(line) for line in (folder / SCAN_RESULTS).read_text().splitlines()]
    assert sorted(line["scan_id"] for line in listed) == [row.scan_id for row in rows]
    text = patches_text(found, 1.0)
    assert not lines(text, IGNORED_VALIDATION)
    assert "24 scans and" in text
    again = extract_patches(folder, rows, ArraySource(), EXTRACT, "skip")
    assert again["data"] != found["data"]


def test_the_code_of_a_shard_has_the_module_that_reads_its_scans() -> None:
    voc, yolo = (source(Path("x"), AS_NAMED) for source in (VocSource, YoloSource))
    assert deciding_code(voc) == deciding_code(VocSource(Path("y"), AS_NAMED))
    assert len({deciding_code(source) for source in (voc, yolo, ArraySource())}) == 3


@pytest.mark.parametrize(
    "change", ["digests", "classes", "channels", "code", "rule", "params_digest"]
)
def test_a_shard_s_name_changes_with_all_that_decides_it(change: str) -> None:
    row = CatalogueRow("s", TRAIN, ("gun",), ("a.png", "mask.png"), ("1", "of the mask"))
    rule = ExtractSettings().window_rule
    recipe = Recipe(ArraySource(), rule, 3, "a.png", "params", "code", "/f", "/r")
    before = recipe.name(TRAIN, [row])
    changed: dict[str, Any] = {
        "channels": 1, "code": "other", "params_digest": "x", "rule": replace(rule, stride=4)
    }  # fmt: skip
    of_row: dict[str, Any] = {change: ("1", "other")}
    if change in changed:
        recipe = replace(recipe, **{change: changed[change]})
    else:
        row = replace(row, **of_row)
    assert recipe.name(TRAIN, [row]) != before
