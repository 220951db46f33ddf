import pickle
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from hypothesis import given, strategies

from pipeline.common.errors import InputError
from pipeline.models.tensor_files import CHECKPOINT, load_tensors, parse_checkpoint, save_checkpoint
from tests.attacks import Attack

WEIGHTS = torch.arange(100)


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


def test_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    attack = Attack(tmp_path / "proof")
    torch.save({"state": attack}, tmp_path / "trap.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(attack, protocol=2))
    for name in ("trap.pt", "bare.pt"):
        content = (tmp_path / name).read_bytes()
        with pytest.raises(InputError, match=f"{name}: incomplete or foreign file of tensors"):
            load_tensors(tmp_path / name)
        (tmp_path / name).write_bytes(content + sha256(content).digest())
        with pytest.raises(InputError, match=f"{name}: .* it holds more than plain data"):
            load_tensors(tmp_path / name)
    assert not attack.proof.exists()


@pytest.mark.parametrize("content", [[], {}, {"key": "key"}, {"key": 1, "state": {}}])
def test_plain_data_that_is_no_checkpoint(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "plain.pt")
    written = (tmp_path / "plain.pt").read_bytes()
    with pytest.raises(InputError, match="here: incomplete or foreign file of tensors"):
        parse_checkpoint(written + sha256(written).digest(), "here", "key")


@given(data=strategies.data())
def test_what_is_cut_short_or_damaged_is_refused(data: strategies.DataObject) -> None:
    whole = checkpoint_bytes()
    end = data.draw(strategies.integers(0, len(whole) - 1))
    with pytest.raises(InputError, match="here: incomplete or foreign file of tensors"):
        parse_checkpoint(whole[:end], "here", "key")
    damaged = bytearray(whole)
    damaged[end] ^= data.draw(strategies.integers(1, 255))
    with pytest.raises(InputError, match="here: incomplete or foreign file of tensors"):
        parse_checkpoint(bytes(damaged), "here", "key")


def checkpoint_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), {"weights": WEIGHTS}, "key")
        return (Path(folder) / CHECKPOINT).read_bytes()
