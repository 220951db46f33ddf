"""The record from which results are logged to MLflow, whatever params.yaml says by then."""

from dataclasses import asdict
from pathlib import Path

import pytest

from pipeline.common.errors import InputError
from pipeline.common.files import write_json
from pipeline.evaluation.report import DETAILS
from pipeline.tracking.runs import Origin
from stages.entry import EVALUATED, MODEL, TRAINED
from stages.track import RECORD, read_record, results_digest


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
