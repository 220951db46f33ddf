import pickle
from pathlib import Path

import pytest
import torch

from pipeline.checkpoints import CHECKPOINT, load_tensors, parse_checkpoint, save_checkpoint
from pipeline.errors import InputError


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("this code must not run",))


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"epoch": 3, "weights": torch.arange(4)}, "key")
    state = parse_checkpoint((tmp_path / CHECKPOINT).read_bytes(), "here", "key")
    assert state["epoch"] == 3
    assert torch.equal(state["weights"], torch.arange(4))
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"epoch": 3}, "one")
    with pytest.raises(
        InputError, match=r"here: a checkpoint of other settings or data \(one, expected two"
    ):
        parse_checkpoint((tmp_path / CHECKPOINT).read_bytes(), "here", "two")


def test_pickled_code_is_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Trap()))
    for name in ("trap.pt", "bare.pt"):
        with pytest.raises(InputError, match=f"{name}: not a whole checkpoint of ours"):
            load_tensors(tmp_path / name)
    assert capsys.readouterr().out == ""
