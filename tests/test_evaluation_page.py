"""The page of an evaluation: which bags it shows, and how."""

import base64
import re
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest

from pipeline.common.names import TEST
from pipeline.common.p_values import RightTail
from pipeline.evaluation import page as evaluation_page
from pipeline.evaluation.bags import ScoredBag, scored_bags, tails_of
from pipeline.evaluation.inputs import EvaluationInputs
from pipeline.evaluation.page import picture_of, ranked, write_evaluation_page
from pipeline.evaluation.scores import ANOMALY, WindowScores
from pipeline.models.bag_scores import Tails
from pipeline.models.trained_model import Calibration
from pipeline.pages.pictures import draw_outlines, heat_levels, overlay_heat, page_pictures
from pipeline.patches.store import PatchStore
from pipeline.patches.windows import window_origins, window_pixels
from pipeline.scans.catalogue import CatalogueRow
from pipeline.settings.windows import WindowRule
from tests.arrays import ArraySource, clutter, save
from tests.darkness import darkness_detector, darkness_inputs, darkness_of

TAILS = Tails(RightTail.of(np.arange(99.0)), RightTail.of(np.array([0.5, 1.0, 2.0])))


def test_the_bag_with_the_rarest_windows_is_first() -> None:
    def bag(name: str, *scores: float) -> ScoredBag:
        none = np.zeros(len(scores), dtype=np.bool_)
        origins = np.zeros((len(scores), 2), dtype=np.int32)
        return ScoredBag(name, origins, 16, {ANOMALY: np.array(scores)}, ~none, none, none, {})

    found = ranked([bag("low", 1, 2), bag("high", 98, 3), bag("middle", 50, 50)], TAILS)
    assert [one.scan_id for _, one in found] == ["high", "middle", "low"]
    # -log of .02 and .97 is 1.97 on average, of .5 twice .69, of .98 and .99 .02: of the scores of
    # three normal bags, .5, 1 and 2, these are reached by one, two and all.
    assert [p for p, _ in found] == [0.5, 0.75, 1]


def test_threats_are_outlined_and_nothing_else() -> None:
    image = np.full((20, 30, 3), 100, dtype=np.uint8)
    threats = np.zeros((20, 30), dtype=np.bool_)
    threats[5:12, 8:20] = True
    changed = (draw_outlines(image, threats) != image).any(axis=2)
    assert changed[5, 8:20].all()
    assert changed[5:12, 19].all()
    assert not changed[8, 13]
    assert not changed[:3].any()
    assert (image == 100).all()
    assert not (draw_outlines(image, threats & False) != image).any()


Scored = tuple[EvaluationInputs, list[ScoredBag], Tails]


@pytest.fixture(scope="module")
def scored(patches: Path, sixray: Path, catalogue: list[CatalogueRow]) -> Scored:
    """The inputs of the test split, its bags, and the tails of the same windows' scores."""
    inputs = darkness_inputs(patches, sixray, catalogue)
    store = inputs.store
    scores = {ANOMALY: darkness_of(store.read(0, len(store)))}
    test = WindowScores(store.labels, store.scan_ids, scores)
    tails = tails_of(test)
    bags = list(scored_bags(inputs, test, tails, lambda some: {ANOMALY: darkness_of(some)}))
    return inputs, bags, tails[ANOMALY]


def test_a_bag_is_titled_by_its_classes(scored: Scored) -> None:
    inputs, bags, tails = scored
    rows = [replace(row, classes=("full_weapon", "knife")) for row in inputs.scans]
    picture = picture_of(bags[0], 0.5, replace(inputs, scans=rows), tails)
    assert picture.title == f"full weapon, knife ({bags[0].scan_id})"


def test_the_page_shows_texts_figures_and_bags(scored: Scored, tmp_path: Path) -> None:
    inputs, bags, tails = scored
    (tmp_path / "table.txt").write_text("AUC <b>0.5</b>")
    figure = tmp_path / "roc.png"
    figure.write_bytes(b"a picture")
    write_evaluation_page(
        tmp_path / "page.html",
        ["**What**: a <run>"],
        [("Windows", tmp_path / "table.txt"), ("The sweep", tmp_path / "none.txt")],
        [figure],
        inputs,
        bags,
        tails,
    )
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>What</b>: a &lt;run&gt;" in page
    assert "AUC &lt;b&gt;0.5&lt;/b&gt;" in page
    assert "The sweep" not in page
    assert "data:image/png;base64,YSBwaWN0dXJl" in page
    assert not re.search(r"https?://", page)
    highest, misses = page.split('id="misses"')
    shown = [re.findall(r"<h2>\d+\. (.+?) \((.+?)\)</h2>", part) for part in (highest, misses)]
    by_rank = [bag for _, bag in ranked(bags, tails)]
    assert [scan for _, scan in shown[0]] == [bag.scan_id for bag in by_rank]
    threats = [bag.scan_id for bag in reversed(by_rank) if bag.has_threat]
    assert [scan for _, scan in shown[1]] == threats
    classes = {row.scan_id: ", ".join(row.classes) or "normal" for row in inputs.scans}
    assert all(name == classes[scan] for part in shown for name, scan in part)
    because = re.findall(r"1: p [\d.e-]+ \(darkness ([\d.]+)\)", highest)
    for bag, said in zip(by_rank, because, strict=True):
        assert float(said) == pytest.approx(bag.scores[ANOMALY].max(), abs=0.06)
    on_threat = sum(
        bag.touches[np.argmax(bag.scores[ANOMALY])] for bag in by_rank if bag.has_threat
    )
    assert misses.count("the first is on a threat") == on_threat
    assert misses.count("the first is not on a threat") == len(threats) - on_threat


def test_a_page_shows_at_most_so_many_bags_and_calls_none_a_miss_that_is_normal(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, bags, tails = scored
    threats = sum(bag.has_threat for bag in bags)
    assert 1 < threats < len(bags)
    for most in (len(bags), 1):
        monkeypatch.setattr(evaluation_page, "MAX_BAGS", most)
        write_evaluation_page(tmp_path / "p.html", [], [], [], inputs, bags, tails)
        highest, misses = (tmp_path / "p.html").read_text(encoding="utf-8").split('id="misses"')
        counts = [part.count('<section class="bag"') for part in (highest, misses)]
        assert counts == [most, min(most, threats)]
        assert highest.count("the first is ") == threats or most == 1


def test_a_test_part_without_threats_has_no_misses(scored: Scored, tmp_path: Path) -> None:
    inputs, bags, tails = scored
    normal = [bag for bag in bags if not bag.has_threat]
    assert normal
    write_evaluation_page(tmp_path / "p.html", [], [], [], inputs, normal, tails)
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert 'id="highest"' in page
    assert "misses" not in page


def test_a_bag_s_picture_is_of_its_scan(tmp_path: Path) -> None:
    image = np.full((32, 64, 3), 220, dtype=np.uint8)
    image[16:, 48:] = 20
    save(tmp_path / "s.npy", image)
    row = CatalogueRow("s", TEST, ("gun",), (str(tmp_path / "s.npy"),), ("",))
    rule = WindowRule(size=16, stride=8)
    origins = window_origins(32, 64, 16, 8)
    scores = darkness_of(window_pixels(image, origins, rule))
    none = np.zeros(len(origins), dtype=np.bool_)
    shown = ScoredBag("s", origins, 16, {ANOMALY: scores}, ~none, none, none, {})
    tails = Tails(RightTail.of(np.linspace(0, 200, 999)), RightTail.of(np.array([1.0])))
    inputs = EvaluationInputs(
        cast(PatchStore, None), [row], ArraySource(), rule, darkness_detector(),
        Calibration(0, 255, 100, 0.1),
    )  # fmt: skip
    found = picture_of(shown, 0.1, inputs, tails)
    assert (found.width, found.height) == (64, 32)
    assert (found.looks[0].left, found.looks[0].top) == (48, 16)
    heat = decoded(found.heat, cv2.IMREAD_UNCHANGED)
    assert heat[24, 56, 3] > 150
    assert heat[2, 2, 3] < 10
    scan = decoded(found.scan, cv2.IMREAD_COLOR)
    assert (np.abs(scan[:, :36].astype(int) - 220).max(axis=2) > 60).any()  # the threat's outline


def decoded(address: str, kind: int) -> np.ndarray:
    """The pixels in a data address of a page."""
    content = np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8)
    found = cv2.imdecode(content, kind)
    assert found is not None
    return found


def test_pictures_of_a_page_have_the_scan_s_colours_and_places() -> None:
    scan = np.full((40, 60, 3), 255, np.uint8)
    scan[:20, :30] = (30, 60, 200)
    evidence = np.zeros((40, 60), np.float32)
    evidence[:20, :30] = 3
    jpeg, png = (
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        for content in page_pictures(scan, heat_levels(evidence))
    )
    assert jpeg is not None
    assert png is not None
    np.testing.assert_allclose(jpeg[10, 15, ::-1], (30, 60, 200), atol=12)
    blue, green, red, alpha = png[10, 15].tolist()
    assert min(red, alpha) > 150
    assert max(blue, green) < 50
    assert png[30, 45, 3] == 0


def test_the_heat_of_a_page_is_coarser_than_its_scan() -> None:
    pictures = page_pictures(np.zeros((9, 1000, 3), np.uint8), np.zeros((9, 1000), np.uint8))
    shown = [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR) for one in pictures]
    assert [one.shape[1] for one in shown if one is not None] == [800, 200]


def test_pictures_of_many_rows_have_heat_in_every_row() -> None:
    evidence = np.linspace(0, 4, 200 * 9, dtype=np.float32).reshape(200, 9)
    image, levels = clutter(0, 3, 200, 9), heat_levels(evidence)
    rows = [slice(row, row + 1) for row in range(200)]
    np.testing.assert_array_equal(
        levels, np.concatenate([heat_levels(evidence[row]) for row in rows])
    )
    one_by_one = np.concatenate([overlay_heat(image[row], levels[row]) for row in rows])
    np.testing.assert_array_equal(overlay_heat(image, levels), one_by_one)
