import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from pipeline.cluster.storage import Storage
from pipeline.sweeps.snapshots import KeepScheduler, SealSnapshot, can_resume

WHOLE = pickle.dumps({"state": 1})


def make_snapshot(folder: Path, day: int) -> dict[str, Path]:
    """One driver's files, named as Ray Tune names them."""
    time = f"2026-01-0{day}_12-00-00"
    names = {
        "trials": f"experiment_state-{time}.json",
        "sampler": f"search_gen_state-{time}.json",
        "searcher": f"searcher-state-{time}.pkl",
        "scheduler": f"callback-states-{time}.pkl",
    }
    files = {kind: folder / name for kind, name in names.items()}
    files["trials"].write_text(json.dumps({"trial_data": {}, "day": day}))
    for kind in ("sampler", "searcher"):
        files[kind].write_bytes(pickle.dumps({"state": day}))
    seal_files(folder, files["scheduler"])
    return files


def seal_files(folder: Path, states: Path) -> None:
    """Write the callbacks' states, with the seal of the newest snapshot in the folder."""
    seal = SealSnapshot()
    trial = SimpleNamespace(storage=SimpleNamespace(experiment_driver_staging_path=str(folder)))
    seal.on_step_begin(0, [cast("Trial", trial)])
    states.write_bytes(pickle.dumps({0: None, 1: {"scheduler": {}}, 2: seal.get_state()}))


def test_no_sweep_yet(tmp_path: Path) -> None:
    assert not can_resume(Storage(str(tmp_path / "missing")))


def test_a_sweep_killed_before_its_first_snapshot(tmp_path: Path) -> None:
    (tmp_path / "tuner.pkl").write_bytes(WHOLE)
    assert not can_resume(Storage(str(tmp_path)))


@pytest.mark.parametrize("kind", ["trials", "sampler", "searcher", "scheduler"])
def test_a_snapshot_cut_short_gives_way_to_the_one_before(kind: str, tmp_path: Path) -> None:
    (tmp_path / "tuner.pkl").write_bytes(WHOLE)
    older, newer = make_snapshot(tmp_path, 1), make_snapshot(tmp_path, 2)
    newer[kind].write_bytes(newer[kind].read_bytes()[:-1])
    assert can_resume(Storage(str(tmp_path)))
    assert all(path.exists() for path in older.values())
    assert not any(path.exists() for path in newer.values())


@pytest.mark.parametrize("kind", ["trials", "sampler", "searcher"])
def test_a_snapshot_of_two_moments_gives_way_to_the_one_before(kind: str, tmp_path: Path) -> None:
    (tmp_path / "tuner.pkl").write_bytes(WHOLE)
    older, newer = make_snapshot(tmp_path, 1), make_snapshot(tmp_path, 2)
    newer[kind].write_bytes(WHOLE)
    assert can_resume(Storage(str(tmp_path)))
    assert all(path.exists() for path in older.values())
    assert not any(path.exists() for path in newer.values())


@pytest.mark.parametrize("kind", ["trials", "sampler", "searcher", "scheduler"])
def test_a_snapshot_without_one_of_its_files(kind: str, tmp_path: Path) -> None:
    (tmp_path / "tuner.pkl").write_bytes(WHOLE)
    make_snapshot(tmp_path, 1)[kind].unlink()
    assert not can_resume(Storage(str(tmp_path)))


def test_the_tuner_cut_short(tmp_path: Path) -> None:
    (tmp_path / "tuner.pkl").write_bytes(WHOLE[:-1])
    make_snapshot(tmp_path, 1)
    assert not can_resume(Storage(str(tmp_path)))


def test_a_scheduler_that_goes_on_compares_with_the_trials_before_the_kill() -> None:
    def scheduler() -> ASHAScheduler:
        return ASHAScheduler(
            time_attr="epoch", metric="objective", mode="max", max_t=4, reduction_factor=2
        )

    controller: Any = None  # which ASHA does not ask
    first, second = Trial("run", stub=True), Trial("run", stub=True)
    before, after = scheduler(), scheduler()
    before.on_trial_add(controller, first)
    before.on_trial_result(controller, first, {"epoch": 1, "objective": 0.9})
    state = pickle.loads(pickle.dumps(KeepScheduler(before).get_state()))
    KeepScheduler(after).set_state(state)
    after.on_trial_add(controller, first)
    after.on_trial_add(controller, second)
    decision = after.on_trial_result(controller, second, {"epoch": 1, "objective": 0.1})
    assert decision == TrialScheduler.STOP
