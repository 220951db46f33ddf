import json
import pickle
from pathlib import Path

import pytest

from pipeline.ray_snapshots import can_go_on

WHOLE = pickle.dumps({"state": 1})


def make_snapshot(folder: Path, day: int) -> dict[str, Path]:
    """One driver's files, named as Ray Tune names them."""
    time = f"2026-01-0{day}_12-00-00"
    names = {
        "trials": f"experiment_state-{time}.json",
        "sampler": f"search_gen_state-{time}.json",
        "searcher": f"searcher-state-{time}.pkl",
    }
    files = {kind: folder / name for kind, name in names.items()}
    files["trials"].write_text(json.dumps({"trial_data": {}}))
    for kind in ("sampler", "searcher"):
        files[kind].write_bytes(WHOLE)
    return files


def test_no_sweep_yet(tmp_path: Path) -> None:
    assert not can_go_on(str(tmp_path / "missing"))


def test_a_sweep_killed_before_its_first_snapshot(tmp_path: Path) -> None:
    (tmp_path / "tuner.pkl").write_bytes(WHOLE)
    assert not can_go_on(str(tmp_path))


@pytest.mark.parametrize("kind", ["trials", "sampler", "searcher"])
def test_a_snapshot_cut_short_gives_way_to_the_one_before(kind: str, tmp_path: Path) -> None:
    (tmp_path / "tuner.pkl").write_bytes(WHOLE)
    older, newer = make_snapshot(tmp_path, 1), make_snapshot(tmp_path, 2)
    newer[kind].write_bytes(newer[kind].read_bytes()[:-1])
    assert can_go_on(str(tmp_path))
    assert all(path.exists() for path in older.values())
    assert not any(path.exists() for path in newer.values())


def test_a_snapshot_without_its_sampler(tmp_path: Path) -> None:
    (tmp_path / "tuner.pkl").write_bytes(WHOLE)
    make_snapshot(tmp_path, 1)["sampler"].unlink()
    assert not can_go_on(str(tmp_path))


def test_the_tuner_cut_short(tmp_path: Path) -> None:
    (tmp_path / "tuner.pkl").write_bytes(WHOLE[:-1])
    make_snapshot(tmp_path, 1)
    assert not can_go_on(str(tmp_path))
