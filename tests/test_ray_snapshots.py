"""Snapshots of sweeps: whole and sealed ones are resumed from, of the rest nothing runs."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.train._internal.storage import StorageContext
from ray.tune import ResultGrid
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.utils.serialization import _loads_with_cloudpickle

from pipeline.cluster.locks import exclusive_lock
from pipeline.cluster.project_key import KEY
from pipeline.cluster.storage import Storage
from pipeline.common.files import file_digest
from pipeline.sweeps.snapshots import (
    SealSnapshot,
    resumable_rungs,
    rungs,
    set_rungs,
    sweep_name,
    warn_of_another_project,
)
from tests.attacks import Attack

KINDS = ["trials", "sampler", "searcher", "seal"]


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without a key."""
    folder = tmp_path_factory.mktemp("project")
    monkeypatch.setenv("DVC_ROOT", str(folder))
    return folder


def scheduler(**objectives: float) -> ASHAScheduler:
    """ASHA, which knows of these trials' first epochs."""
    found = ASHAScheduler(
        time_attr="epoch", metric="objective", mode="max", max_t=4, reduction_factor=2
    )
    set_rungs(found, [(2, {}), (1, objectives)])
    return found


def make_snapshot(folder: Path, month: int, moment: int = 0) -> dict[str, Path]:
    """The files of the driver of a month, named as Ray Tune names them."""
    time = f"2026-0{month}-0{5 - month}_12-00-00"
    names = {
        "trials": f"experiment_state-{time}.json",
        "sampler": f"search_gen_state-{time}.json",
        "searcher": f"searcher-state-{time}.pkl",
        "seal": f"snapshot-{time}.seal",
    }
    files = {kind: folder / name for kind, name in names.items()}
    files["trials"].write_text(json.dumps({"trial_data": {}, "moment": moment}))
    for kind in ("sampler", "searcher"):
        files[kind].write_bytes(pickle.dumps({"moment": moment}))
    seal_files(folder, scheduler(first=float(month), second=float(moment)))
    assert files["seal"].exists()
    return files


def seal_files(folder: Path, known: TrialScheduler) -> None:
    """Seal the newest snapshot in the folder, as Ray Tune has it done."""
    callback = SealSnapshot(known)
    storage = {"experiment_driver_staging_path": str(folder), "experiment_dir_name": folder.name}
    trial = SimpleNamespace(storage=SimpleNamespace(**storage))
    callback.on_step_begin(0, [cast("Trial", trial)])
    callback.get_state()


def resumed_month(folder: Path) -> float | None:
    """The month of the snapshot that a sweep would resume from."""
    found = resumable_rungs(Storage(str(folder)))
    return None if found is None else found[1][1]["first"]


def test_no_sweep_yet(tmp_path: Path) -> None:
    assert resumed_month(tmp_path / "missing") is None


def test_a_sweep_killed_before_its_first_snapshot(tmp_path: Path) -> None:
    (tmp_path / "tuner.pkl").write_bytes(b"")
    SealSnapshot(FIFOScheduler()).get_state()  # type: ignore[no-untyped-call]
    assert resumed_month(tmp_path) is None


def test_the_newest_snapshot_is_resumed_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tuner.pkl").write_bytes(b"")  # the sweep writes it anew
    files = [path for month in (1, 2) for path in make_snapshot(tmp_path, month).values()]
    assert resumed_month(tmp_path) == 2
    assert all(path.exists() for path in files)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_cut_short_gives_way_to_the_one_before(kind: str, tmp_path: Path) -> None:
    older, newer = make_snapshot(tmp_path, 1), make_snapshot(tmp_path, 2)
    newer[kind].write_bytes(newer[kind].read_bytes()[:-1])
    assert resumed_month(tmp_path) == 1
    assert all(path.exists() for path in older.values())
    assert not any(newer[kind].exists() for kind in ("trials", "sampler", "searcher"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_of_two_moments_gives_way_to_the_one_before(kind: str, tmp_path: Path) -> None:
    older, newer = make_snapshot(tmp_path, 1), make_snapshot(tmp_path, 2)
    before = newer[kind].read_bytes()
    make_snapshot(tmp_path, 2, moment=1)
    newer[kind].write_bytes(before)
    assert resumed_month(tmp_path) == 1
    assert all(path.exists() for path in older.values())
    assert not any(newer[kind].exists() for kind in ("trials", "sampler", "searcher"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_without_one_of_its_files(kind: str, tmp_path: Path) -> None:
    make_snapshot(tmp_path, 1)[kind].unlink()
    assert resumed_month(tmp_path) is None


STRANGE = "2026-03-01_12-00-00"
FOREIGN = [
    f"experiment_state-{STRANGE}.json",
    f"search_gen_state-{STRANGE}.json",
    f"searcher-state-{STRANGE}.pkl",
    f"callback-states-{STRANGE}.pkl",
    "callback-states-2026-02-03_12-00-00.pkl",  # added to a sealed snapshot
    "searcher-state-.pkl",
]


def pickled_attack(proof: Path, name: str) -> bytes:
    """What Ray unpickles from a file of this name, which makes the folder `proof`."""
    content = pickle.dumps(Attack(proof))
    if not name.startswith("experiment_state"):
        return content
    fallback = {"_type": "CLOUDPICKLE_FALLBACK", "value": content.hex()}
    return json.dumps({"trial_data": [], "runner_data": fallback}).encode()


def test_the_attack_of_these_tests_works(tmp_path: Path) -> None:
    for name in ("experiment_state-1.json", "searcher-state-1.pkl"):
        content = pickled_attack(tmp_path / name, name)
        (_loads_with_cloudpickle if name.endswith("json") else pickle.loads)(content)
        assert (tmp_path / name).is_dir()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_in_place_of_a_sealed_file_is_not_run(
    kind: str, tmp_path: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = make_snapshot(tmp_path, 1)
    files[kind].write_bytes(pickled_attack(project / "proof", files[kind].name))
    assert resumed_month(tmp_path) is None
    assert not (project / "proof").exists()
    said = capsys.readouterr().err
    for each in ("trials", "sampler", "searcher"):  # the whole snapshot is refused
        assert f"{files[each]}: cut short by a kill, or not sealed with this project's" in said
        assert not files[each].exists()


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_seal_without_the_key_counts_for_nothing(
    kind: str, tmp_path: Path, project: Path
) -> None:
    files = make_snapshot(tmp_path, 1)
    files[kind].write_bytes(pickled_attack(project / "proof", files[kind].name))
    forged = json.loads(files["seal"].read_text())
    forged["files"][files[kind].name] = file_digest(files[kind])
    files["seal"].write_text(json.dumps(forged))
    assert resumed_month(tmp_path) is None
    assert not files[kind].exists()


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("kind", ["file", "folder", "fifo"])
def test_what_was_put_beside_a_sealed_snapshot_is_removed(
    name: str, kind: str, tmp_path: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, foreign = make_snapshot(tmp_path, 2), tmp_path / name
    if kind == "file":
        foreign.write_bytes(pickled_attack(project / "proof", name))
    else:
        (os.mkfifo if kind == "fifo" else Path.mkdir)(foreign)
    assert resumed_month(tmp_path) == 2
    assert not (project / "proof").exists()
    assert not foreign.exists()
    assert capsys.readouterr().err.startswith(f"{foreign}: cut short by a kill, or not sealed")
    assert all(path.exists() for path in files.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_what_is_no_file_in_place_of_a_sealed_file(
    kind: str, make: Callable[[Path], None], tmp_path: Path
) -> None:
    files = make_snapshot(tmp_path, 1)
    files[kind].unlink()
    make(files[kind])
    assert resumed_month(tmp_path) is None
    assert not any(files[kind].exists() for kind in ("trials", "sampler", "searcher"))


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "[" * 10**5, "{}", '{"hmac": 1}', '{"hmac": "é"}', "\xff", "9" * 5000],
)
def test_a_seal_that_is_none(content: str, tmp_path: Path) -> None:
    files = make_snapshot(tmp_path, 1)
    files["seal"].write_text(content, encoding="latin-1")
    assert resumed_month(tmp_path) is None


def test_a_snapshot_of_another_sweep_is_not_resumed_from(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    make_snapshot(tmp_path / "one", 1)
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    assert resumed_month(tmp_path / "other") is None
    assert resumed_month(tmp_path / "one") == 1


def test_the_error_of_a_trial_is_read_as_text(tmp_path: Path, project: Path) -> None:
    trial = Trial("run", stub=True)
    trial.storage = StorageContext(str(tmp_path), "sweep", trial_dir_name="trial")
    folder = tmp_path / "sweep" / "trial"
    folder.mkdir(parents=True)
    metadata: Any = trial.run_metadata
    metadata.error_filename, metadata.pickled_error_filename = "error.txt", "error.pkl"
    (folder / "error.txt").write_text("what went wrong")
    (folder / "error.pkl").write_bytes(pickle.dumps(Attack(project / "proof")))
    SealSnapshot(scheduler()).on_trial_error(0, [trial], trial)
    error: Any = ResultGrid._populate_exception(trial)
    assert error == "what went wrong"
    assert not (project / "proof").exists()


def test_a_copy_of_the_project_resumes_only_with_the_key(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    storage, name = Storage(str(tmp_path / "ray")), sweep_name("a" * 64)
    sweep = tmp_path / "ray" / name
    with exclusive_lock(storage, name):  # whose files have the sweep's name as well
        warn_of_another_project(storage, name)
        sweep.mkdir()
        make_snapshot(sweep, 1)
        warn_of_another_project(storage, name)
    assert capsys.readouterr().err == ""

    copy = tmp_path / "copy"
    copy.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(copy))
    other = sweep_name("a" * 64)
    assert other != name
    with exclusive_lock(storage, other):
        warn_of_another_project(storage, other)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{sweep}: a copy of the project with another key began this sweep;")
    assert str(KEY) in line
    shutil.copytree(sweep, tmp_path / "ray" / other)
    assert resumed_month(tmp_path / "ray" / other) is None

    shutil.copy(project / KEY, copy / KEY)
    assert sweep_name("a" * 64) == name
    assert resumed_month(sweep) == 1


def test_a_scheduler_that_goes_on_compares_with_the_trials_before_the_kill(tmp_path: Path) -> None:
    controller: Any = None  # which ASHA does not ask
    first, second = Trial("run", stub=True), Trial("run", stub=True)
    before, after = scheduler(), scheduler()
    before.on_trial_add(controller, first)
    before.on_trial_result(controller, first, {"epoch": 1, "objective": 0.9})
    (tmp_path / "experiment_state-2026-01-01_12-00-00.json").touch()
    seal_files(tmp_path, before)
    found = resumable_rungs(Storage(str(tmp_path)))
    assert found
    set_rungs(after, found)
    assert rungs(after) == rungs(before)
    after.on_trial_add(controller, first)
    after.on_trial_add(controller, second)
    decision = after.on_trial_result(controller, second, {"epoch": 1, "objective": 0.1})
    assert decision == TrialScheduler.STOP
