"""Cells in MLflow: each is a run once, and what the test's labels leak into says so."""

from pathlib import Path

import pytest

from experiments.paper.author_runs import runs_of
from experiments.paper.cells import NO_METHOD
from experiments.paper.log_cells import CELL, CELL_TAG, log_author_runs, log_cells
from experiments.paper.protocols import REFERENCE, REFERENCE_SHUFFLED
from pipeline.tracking.tracked_run import open_run
from pipeline.tracking.tracker import KIND_TAG, Tracker
from tests.mlflow_stores import tracker_in
from tests.test_paper_page import EVAL, STEPS, lines_of
from tests.test_results import FIRST, row

KEY = "authors-plane-0-64"


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    return tracker_in(tmp_path, monkeypatch)


@pytest.mark.slow  # making the store takes seconds
def test_every_cell_is_a_run_once(tracker: Tracker) -> None:
    rows = [row("small", FIRST, 0, 0.75), row("small", NO_METHOD, 0, 0.5),
            row("empty", FIRST, 0, None)]  # fmt: skip
    unfinished = open_run(
        tracker, {CELL_TAG: "small none 0"}, "a kill left it", {KIND_TAG: CELL}, {}
    )
    assert log_cells(tracker, [*rows, rows[0]]) == 3
    assert log_cells(tracker, rows) == 0
    (run,) = tracker.find({CELL_TAG: "small none 0"})
    assert run.info.run_id == unfinished.id
    assert run.data.metrics["other/pca/overall/low"] == 0.25
    (run,) = tracker.find({CELL_TAG: f"empty {FIRST} 0"})
    assert "auc/gun" not in run.data.metrics
    (run,) = tracker.find({CELL_TAG: f"small {FIRST} 0"})
    assert run.data.metrics["auc/gun"] == 0.75
    leaking = {name for name in run.data.metrics if name.startswith("labels_leak/")}
    assert leaking >= {f"labels_leak/{name}/gun" for name in (REFERENCE, REFERENCE_SHUFFLED)}
    assert run.data.params["labels_leak"] == f"{REFERENCE} {REFERENCE_SHUFFLED}"
    assert not [name for name in run.data.metrics if "2019" in name and name not in leaking]


@pytest.mark.slow  # making the store takes seconds
def test_a_finished_training_at_the_authors_settings_is_a_run_once(tracker: Tracker) -> None:
    rows = [*lines_of("plane"), *lines_of("car", in_order=(0.5, 0.6))]
    assert log_author_runs(tracker, runs_of(rows)) == 1
    assert log_author_runs(tracker, runs_of(rows)) == 0
    (run,) = tracker.find({KIND_TAG: CELL})
    assert (run.data.tags[CELL_TAG], run.info.run_name) == (KEY, KEY)
    history = tracker.client().get_metric_history(run.info.run_id, "auc_eval")
    assert [(point.step, point.value) for point in history] == [
        (step, value) for (_, step), value in zip(STEPS, EVAL, strict=True)
    ]
    found = run.data.metrics
    assert found["labels_leak/auc_in_order"] == 0.85
    assert found["labels_leak/auc_shuffled"] == 0.55
    assert found["labels_leak/auc_share_0.75"] == 0.65
    assert found["other/residual/auc_eval"] == 0.1
    assert run.data.params["labels_leak"] == "in_order shuffled"
    honest = {name for name in found if not name.startswith("labels_leak/")}
    assert not [name for name in honest if "order" in name or "shuffled" in name or "share" in name]
