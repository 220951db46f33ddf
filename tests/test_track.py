"""The record from which results are logged to MLflow, whatever params.yaml says by then."""

from dataclasses import asdict
from pathlib import Path

import pytest

from pipeline.common.errors import InputError
from pipeline.common.files import file_digest, write_json
from pipeline.tracking.runs import Origin
from stages.entry import EVALUATED, MODEL, TRAINED
from stages.track import RECORD, read_record


def test_results_of_another_model_are_not_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    TRAINED.mkdir(parents=True)
    (TRAINED / MODEL).write_bytes(b"one")
    made = Origin({"preset": "tiny"}, "data", "", "")
    record = {"origin": asdict(made), "model": file_digest(TRAINED / MODEL)}
    with pytest.raises(InputError, match="no such file: run `dvc repro evaluate`"):
        read_record()
    write_json(EVALUATED / RECORD, record)
    assert read_record() == made
    (TRAINED / MODEL).write_bytes(b"another")
    with pytest.raises(InputError, match=r"of another model than .*: run `dvc repro evaluate`"):
        read_record()
