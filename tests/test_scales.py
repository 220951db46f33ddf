"""Larger windows around a window's centre, and the evidence of a window in its own bag."""

import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.detection import evidence, scales
from experiments.detection.scales import (
    CHOSEN,
    CONTEXT,
    around,
    candidate_scores,
    evidence_in_bag,
)
from pipeline.scans.catalogue import CatalogueRow
from tests.arrays import clutter


def test_a_larger_window_has_the_same_centre_or_is_shifted_into_the_scan() -> None:
    image = clutter(0, 3, 200, 300)
    origins = np.array([[70, 100], [0, 230], [136, 0]], dtype=np.int32)
    patches, corners = around(image, origins, 64, 96)
    np.testing.assert_array_equal(patches[0], image[54:150, 84:180])
    np.testing.assert_array_equal(patches[1], image[:96, 204:])
    np.testing.assert_array_equal(patches[2], image[104:, :96])
    assert corners.tolist() == [[16, 16], [0, 26], [32, 0]]


def test_a_scan_that_is_smaller_gets_air() -> None:
    image = clutter(0, 1, 70, 100)
    patches, corners = around(image, np.array([[6, 36]], dtype=np.int32), 64, 96)
    np.testing.assert_array_equal(patches[0, :70], image[:, 4:])
    assert (patches[0, 70:] == 255).all()
    assert corners.tolist() == [[6, 32]]


def test_evidence_in_a_bag_is_by_rank_among_its_windows_the_window_with_them() -> None:
    rng = np.random.default_rng(0)
    terms = rng.integers(0, 6, (40, 3)).astype(np.float64)  # with ties
    scan_ids = np.array([f"{number % 3}" for number in range(40)])
    compared = rng.random(40) < 0.6
    found = evidence_in_bag(terms, scan_ids, compared)
    for row in range(40):
        others = (scan_ids == scan_ids[row]) & compared
        others[row] = False
        for term in range(3):
            reached = (terms[others, term] >= terms[row, term]).sum()
            p_value = (1 + reached) / (1 + others.sum())
            assert found[row, term] == pytest.approx(-np.log(p_value))


def test_a_candidate_is_the_mean_over_all_terms_of_its_groups() -> None:
    rng = np.random.default_rng(0)
    groups = {name: rng.random((5, 32)) for name in (CHOSEN, "96", "128", CONTEXT)}
    both = np.concatenate([groups[CHOSEN], groups["96"]], axis=1).mean(axis=1)
    np.testing.assert_allclose(candidate_scores(groups)["64 and 96"], both)


@pytest.mark.slow
@pytest.mark.parametrize("option", [[], ["--projected"], ["--test"]])
def test_windows_of_the_first_size_are_those_of_the_study_of_evidence(
    option: list[str],
    patches: Path,
    catalogue: list[CatalogueRow],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged: dict[str, np.ndarray] = {}
    monkeypatch.setattr(scales, "scores_text", lambda scores, *_: str(judged.update(scores)))
    monkeypatch.setattr(evidence, "scores_text", lambda scores, *_: str(judged.update(scores)))
    compared_with: list[np.ndarray] = []

    def noted(terms: np.ndarray, scan_ids: np.ndarray, compared: np.ndarray) -> np.ndarray:
        compared_with.append(compared)
        return evidence_in_bag(terms, scan_ids, compared)

    monkeypatch.setattr(scales, "evidence_in_bag", noted)
    monkeypatch.setattr(scales, "read_catalogue", lambda _: catalogue)
    monkeypatch.setattr(scales, "SIDES", (16, 24))
    monkeypatch.setattr(scales, "CANDIDATES", (("16",), ("24",), ("16", CONTEXT)))
    given = ["", "--patches", str(patches), *option]
    monkeypatch.setattr(sys, "argv", [*given, "--scans", "scans"])
    scales.main()
    monkeypatch.setattr(sys, "argv", [*given, "--candidates", "chosen"])
    evidence.main()
    np.testing.assert_allclose(judged["16"], judged["chosen, fisher"])
    assert np.corrcoef(judged["24"], judged["16"])[0, 1] > 0.5
    assert not np.allclose(judged["24"], judged["16"])
    assert not np.allclose(judged[f"16 and {CONTEXT}"], judged["16"])
    # A threat that is laid over is alone in its bag; other windows are compared with all.
    (compared,) = compared_with
    left_out = len(compared) // 2 if option == ["--projected"] else 0
    assert (~compared).sum() == left_out
