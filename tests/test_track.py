"""The record from which results are logged to MLflow, whatever params.yaml says by then."""

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.common.files import write_json, write_table
from pipeline.common.names import TRAIN
from pipeline.evaluation.report import DETAILS, FIGURES, METRICS
from pipeline.patches.store import PatchStore
from pipeline.serving.scan_model import IMAGE, image_of
from pipeline.settings.params import load_settings
from pipeline.sweeps.results import rank, write_sweep
from pipeline.tracking.runs import LABELLED_TAG, OPEN_TAG, RESULTS_TAG, SWEEP_TAG, Origin
from pipeline.tracking.tracked_run import NOTE_TAG
from stages.entry import EVALUATED, HISTORY, MODEL, SWEEP, TRAINED
from stages.track import RECORD, read_record, results_digest, track, write_record
from tests.imports import ROOT
from tests.sweeps import NotingRun, trial
from tests.tiny_model import make_model


def test_other_results_than_those_of_the_record_are_not_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    TRAINED.mkdir(parents=True)
    (TRAINED / MODEL).write_bytes(b"one")
    made = Origin({"preset": "tiny"}, "data", "", "")
    with pytest.raises(InputError, match="no such file: run `dvc repro -fs evaluate`"):
        read_record()
    write_json(EVALUATED / DETAILS, {"auc": 0.5})
    write_json(EVALUATED / RECORD, {"origin": asdict(made), "results": results_digest()})
    assert read_record() == made
    other = r"of other results than those on disk: run `dvc repro -fs evaluate`"
    write_json(EVALUATED / DETAILS, {"auc": 0.6})  # by an evaluation that was killed, or by DVC
    with pytest.raises(InputError, match=other):
        read_record()
    write_json(EVALUATED / DETAILS, {"auc": 0.5})
    (TRAINED / MODEL).write_bytes(b"another")
    with pytest.raises(InputError, match=other):
        read_record()


def test_all_that_is_on_disk_is_logged_to_its_run(
    patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(ROOT / "params.yaml", ROOT / "presets.yaml")
    chosen = {"ngf": 4, "lambda_con": 40}
    provenance = {"settings": chosen, "data": "0123456789", "labelled_bags": 3}
    model = replace(make_model(), provenance=provenance)
    model.save(TRAINED / MODEL)
    history = [{"epoch": 1.0, "loss_g": 2.0}, {"epoch": 2.0, "loss_g": 1.5}]
    write_table(TRAINED / HISTORY, list(history[0]), history)
    rates = dict.fromkeys(("best_auc_without_model", "false_alarm_rate", "detection_rate"))
    write_json(EVALUATED / METRICS, {"auc": {"gun": 0.75}, **rates})
    write_json(EVALUATED / DETAILS, {})
    write_sweep(SWEEP, rank([trial(0.7)]), "labelled_auc", "sweep")
    write_record(settings, model)
    run, opened = NotingRun(), list[Origin]()

    def pipeline_run(_: object, made: Origin) -> NotingRun:
        opened.append(made)
        return run

    store = SimpleNamespace(has_finished=lambda _: True)
    monkeypatch.setattr("stages.track.PATCHES", patches)
    monkeypatch.setattr("stages.track.Tracker.open", lambda: store)
    monkeypatch.setattr("stages.track.completed_run", lambda *_: "")
    monkeypatch.setattr("stages.track.pipeline_run", pipeline_run)
    track()
    assert opened == [Origin.now(settings, "0123456789")]
    measured = {"auc/gun": 0.75, **rates}
    *logged, (_, tags), folder, figures, (_, name, metrics, contents), closing, end = run.told
    assert logged == [
        ("log_dataset", "generated", str(patches), "0123456789"),
        ("log_params", {"model.ngf": 4, "train.lambda_con": 40}),
        ("log_missing_history", history),
        ("log_metrics", measured),
    ]
    note = tags.pop(NOTE_TAG)
    assert tags == {SWEEP_TAG: "sweep", "objective": "labelled_auc", LABELLED_TAG: "3"}
    assert "labels of 3 bags used" in note
    assert "labels of validation scans ranked" in note
    assert folder == ("log_folder", EVALUATED, "evaluation")
    assert figures == ("log_folder", EVALUATED / FIGURES, None)
    assert (name, metrics) == ("skipscan-skip_ganomaly-generated", measured)
    assert contents["artifacts"] == {"model": str(TRAINED / MODEL)}
    (example,) = contents["input_example"][IMAGE]
    np.testing.assert_array_equal(image_of(example), PatchStore(patches, TRAIN).read(0, 1)[0])
    assert closing == ("set_tags", {OPEN_TAG: "false", RESULTS_TAG: results_digest()})
    assert end == ("finish",)
