"""A sweep without a cluster: what Ray Tune is told, and what becomes of its results."""

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from pyarrow.fs import LocalFileSystem
from ray.tune import Checkpoint, Result, ResultGrid, TuneConfig
from ray.tune.experiment import Trial
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.schedulers import ASHAScheduler, TrialScheduler, pbt
from ray.tune.search import BasicVariantGenerator
from ray.tune.search.optuna import OptunaSearch

import stages.tune
from pipeline.cluster.storage import Storage
from pipeline.common.errors import InputError
from pipeline.common.names import LABELLED_VALIDATION, VALIDATION
from pipeline.models.tensor_files import CHECKPOINT, parse_checkpoint, save_checkpoint
from pipeline.patches.manifest import read_manifest
from pipeline.patches.store import PatchStore
from pipeline.settings.blocks import TuneSettings
from pipeline.settings.methods import MethodName
from pipeline.settings.params import load_settings
from pipeline.settings.search_space import Choices, Range, Space
from pipeline.sweeps import trainable
from pipeline.sweeps import tune as ray_tune
from pipeline.sweeps.results import Best, SweepResult, rank, read_best
from pipeline.sweeps.snapshots import rungs, sweep_name
from pipeline.sweeps.summary import SUMMARY
from pipeline.sweeps.trainable import OBJECTIVE, SweepJob
from pipeline.sweeps.trials import ShowTrials, TrackTrials, collect_results
from pipeline.tracking.tracked_run import NoRun, StoredRun
from pipeline.tracking.tracker import Tracker
from pipeline.training.criterion import IMPLANT_AUC, LABELLED_AUC, load_validation
from pipeline.training.ray_checkpoints import epochs_done
from stages.entry import SWEEP
from tests.imports import ROOT
from tests.on_ray.jobs import PBT, TUNE
from tests.sweeps import NotingRun, trial
from tests.tiny import MODEL

VALUES = {"lambda_adv": 1, "lambda_con": 2, "lambda_lat": 3, "latent_dim": 5}


def told_of(
    monkeypatch: pytest.MonkeyPatch,
    asked: TuneSettings,
    method: MethodName = "skip_ganomaly",
    *known: Any,
) -> dict[str, Any]:
    """Return what Ray's `Tuner` is told of a sweep."""
    monkeypatch.setattr(ray_tune, "Tuner", lambda _trainable, **told: told)
    job = SweepJob(replace(MODEL, method=method), asked, "patches", IMPLANT_AUC, "key")
    callback = TrackTrials(NoRun(), IMPLANT_AUC)
    return cast(
        dict[str, Any], ray_tune._new_tuner(None, job, Storage("storage"), callback, *known)
    )


@pytest.fixture
def tuner(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Ray's `Tuner` is told of a sweep by Optuna with ASHA."""
    return told_of(monkeypatch, TUNE)


def test_asha_stops_the_trial_with_the_lower_objective(tuner: dict[str, Any]) -> None:
    config: TuneConfig = tuner["tune_config"]
    scheduler = cast(ASHAScheduler, config.scheduler)
    scheduler.set_search_properties(config.metric, config.mode)  # as Tune does
    controller: Any = None  # which ASHA does not ask
    decisions = []
    for objective in (0.7, 0.9, 0.6, 0.8):
        trial = Trial("run", stub=True)
        scheduler.on_trial_add(controller, trial)
        result = {"epoch": 1, OBJECTIVE: objective}
        decisions.append(scheduler.on_trial_result(controller, trial, result))
    go_on, stop = TrialScheduler.CONTINUE, TrialScheduler.STOP
    assert decisions == [go_on, go_on, stop, go_on]


def test_optuna_looks_where_the_objective_is_high(tuner: dict[str, Any]) -> None:
    config: TuneConfig = tuner["tune_config"]
    searcher = cast(OptunaSearch, config.search_alg)
    searcher.set_search_properties(config.metric, config.mode, tuner["param_space"])
    tried = []
    for number in range(30):
        settings = searcher.suggest(str(number))
        assert settings is not None
        tried.append(np.log(settings["lambda_con"]))
        searcher.on_trial_complete(str(number), {OBJECTIVE: tried[-1]})
    assert np.mean(tried[10:]) > np.log(80)  # twice the middle of the range from 4 to 400


def result_of(name: str, lambda_con: float, *objectives: float) -> Result:
    """A trial with this objective in each of its epochs of 2 s, the first from second 10 on."""
    epochs = np.arange(1, len(objectives) + 1)
    curve = pd.DataFrame(
        {
            "epoch": epochs,
            OBJECTIVE: objectives,
            "loss_g": 1.0,
            "seconds": 1.5,
            "timestamp": 10 + 2 * epochs,
            "time_total_s": 2.0 * epochs,
        }
    )
    metrics = {"config": {"lambda_con": lambda_con}}
    return Result(metrics, None, None, f"storage/{name}", curve)


def test_the_best_epoch_of_the_best_trial_wins() -> None:
    grid = [result_of("a", 4, 0.8, 0.8, 0.8), result_of("b", 40, 0.6, 0.9, 0.7)]
    grid.append(result_of("c", 400, 0.5, 0.4))
    found = collect_results(cast(ResultGrid, grid), replace(TUNE, epochs=3))
    assert [
        (trial.trial, trial.objective, trial.state, trial.epochs) for trial in found.trials
    ] == [
        ("b", 0.9, "finished", 3),
        ("a", 0.8, "finished", 3),
        ("c", 0.5, "stopped", 2),
    ]
    assert (found.best, found.value) == ({"lambda_con": 40}, 0.9)
    first = found.trials[0]
    assert (first.training_seconds, first.started, first.ended) == (4.5, 0, 6)
    assert [epoch[OBJECTIVE] for epoch in first.curve] == [0.6, 0.9, 0.7]


def test_the_settings_of_a_trial_are_those_of_its_best_epoch() -> None:
    """Population based training changes them between epochs."""
    result = result_of("a", 40, 0.6, 0.9, 0.7)
    curve = result.metrics_dataframe
    assert curve is not None
    for value in (20, 0.5):
        curve["config/lambda_con"] = [10.0, value, 40.0]
        (trial,) = collect_results(cast(ResultGrid, [result]), replace(TUNE, epochs=3)).trials
        assert (trial.objective, trial.settings) == (0.9, {"lambda_con": value})
        assert isinstance(trial.settings["lambda_con"], type(value))


def test_the_clock_of_a_sweep_starts_with_its_first_trial() -> None:
    later = result_of("b", 40, 0.9)
    assert later.metrics_dataframe is not None
    later.metrics_dataframe["timestamp"] += 100
    grid = cast(ResultGrid, [later, result_of("a", 4, 0.8)])
    found = collect_results(grid, replace(TUNE, epochs=1)).trials
    assert {each.trial: (each.started, each.ended) for each in found} == {
        "a": (0, 2),
        "b": (100, 102),
    }


def test_failed_trials_say_why_are_never_the_best_and_must_be_few() -> None:
    error = RuntimeError("Traceback\nInputError: loss_g is nan")
    broken = replace(result_of("b", 40, 0.9), error=error)
    never = replace(result_of("c", 40, 0.9), metrics_dataframe=None)
    early = replace(never, path="storage/d", error=error)
    grid = cast(ResultGrid, [broken, result_of("a", 4, 0.8), never, early])
    asked = replace(TUNE, epochs=1, max_failed=0.75)
    found = collect_results(grid, asked).trials
    assert found[0].trial == "a"
    assert {each.trial: (each.state, each.objective, each.reason) for each in found} == {
        "a": ("finished", 0.8, ""),
        "b": ("failed", 0.9, "InputError: loss_g is nan"),
        "c": ("failed", None, "no epoch ended"),
        "d": ("failed", None, "InputError: loss_g is nan"),
    }
    with pytest.raises(InputError, match="3 of 4 trials failed, more than"):
        collect_results(grid, replace(asked, max_failed=0.5))


@pytest.mark.parametrize(
    ("ends", "said"), [("complete", ("finish",)), ("error", ("finish", "FAILED"))]
)
def test_a_trial_s_run_has_its_settings_its_epochs_and_how_it_ended(
    ends: str, said: tuple[str, ...]
) -> None:
    run = NotingRun()
    track = TrackTrials(cast(StoredRun, run), IMPLANT_AUC)
    one = cast(Trial, SimpleNamespace(trial_id="a", config={"lambda_con": 4}))
    curve = {"epoch": 1, "loss_g": 2.0, "seconds": 3.0, OBJECTIVE: 0.5, IMPLANT_AUC: 0.5}
    track.on_trial_start(0, [], one)
    track.on_trial_result(0, [], one, {**curve, "pid": 7})
    getattr(track, f"on_trial_{ends}")(0, [], one)
    assert run.told == [("child", "trial-a", {"lambda_con": 4}), ("log_epoch", curve), said]


def test_each_trial_has_its_own_run_in_a_resumed_sweep_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///here.db")
    before = TrackTrials(StoredRun(Tracker("sqlite:///there.db"), "sweep"), LABELLED_AUC)
    track = pickle.loads(pickle.dumps(before))
    assert track.sweep_run == StoredRun(Tracker("sqlite:///here.db"), "sweep")
    assert track.objective_name == LABELLED_AUC
    runs = {"trial-a": NotingRun(), "trial-b": NotingRun()}
    track.sweep_run = SimpleNamespace(child=lambda name, _: runs[name])
    trials = [SimpleNamespace(trial_id=name, config={}) for name in "ab"]
    for each in trials:
        track.on_trial_start(0, [], each)
    track.on_trial_complete(0, [], trials[1])
    assert {name: run.told for name, run in runs.items()} == {
        "trial-a": [],
        "trial-b": [("finish",)],
    }


def test_pbt_stays_within_the_space() -> None:
    space: Space = {**PBT.space, "lambda_con": (4, 400), "lambda_adv": Choices((1, 3, 9))}
    scheduler = cast(Any, ray_tune._scheduler(PBT, space))
    others = {"lambda_adv": 3, "lambda_lat": 1, "latent_dim": 10}
    found = [
        pbt._explore(
            {"lambda_con": value, **others},
            scheduler._hyperparam_mutations,
            0.1,
            scheduler._perturbation_factors,
            scheduler._custom_explore_fn,
        )[0]
        for value in (350.0, 4.5) * 30
    ]
    assert {each["lambda_adv"] for each in found} == {1, 3, 9}
    assert max(each["lambda_con"] for each in found) == 400
    assert min(each["lambda_con"] for each in found) == 4
    assert {each["latent_dim"] for each in found} == {10}


def test_a_sweep_is_seeded_and_searches_by_logarithm() -> None:
    def suggested(asked: TuneSettings) -> list[Any]:
        searcher = ray_tune._sampler(asked)
        assert isinstance(searcher, OptunaSearch)
        searcher.set_search_properties("objective", "max", {"x": ray_tune._domain((1, 100), asked)})
        found = [searcher.suggest(str(number)) for number in range(3)]
        return [each["x"] for each in found if isinstance(each, dict)]

    assert suggested(TUNE) == suggested(TUNE) != suggested(replace(TUNE, seed=1))
    draws = [ray_tune._domain((1, 10_000), TUNE).sample() for _ in range(400)]
    assert 50 < np.median(draws) < 200


def test_a_sweep_s_key_depends_on_all_that_decides_it() -> None:
    keys = {
        ray_tune.sweep_key(MODEL, TUNE, "data"),
        ray_tune.sweep_key(MODEL, TUNE, "other"),
        ray_tune.sweep_key(replace(MODEL, ngf=8), TUNE, "data"),
        ray_tune.sweep_key(MODEL, replace(TUNE, seed=1), "data"),
    }
    assert len(keys) == 4
    assert ray_tune.sweep_key(MODEL, replace(TUNE, max_failed=0.9), "data") in keys


def test_a_sweep_s_key_changes_with_the_code_and_with_the_numbers_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = {ray_tune.sweep_key(MODEL, TUNE, "data")}
    for name, value in (("code_digest", lambda _: "other"), ("numeric_environment", lambda: "o")):
        with monkeypatch.context() as patched:
            patched.setattr(ray_tune, name, value)
            keys.add(ray_tune.sweep_key(MODEL, TUNE, "data"))
    assert len(keys) == 3


def test_progress_is_looked_for_where_the_trials_write(monkeypatch: pytest.MonkeyPatch) -> None:
    run = told_of(monkeypatch, TUNE)["run_config"]
    (shown,) = [callback for callback in run.callbacks if isinstance(callback, ShowTrials)]
    assert Path(shown.sweep.path_or_uri) == Path("storage", run.name)
    assert (shown.total, shown.settings) == (TUNE.trials, TUNE)


def test_a_resumed_sweep_s_asha_has_its_rungs(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [(1, {"a": 0.5})]
    told = told_of(monkeypatch, TUNE, "skip_ganomaly", known)
    assert rungs(told["tune_config"].scheduler) == known


def test_a_trial_goes_on_from_its_checkpoint(
    patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}

    def listens(*given: Any, **more: Any) -> None:
        told.update(settings=given[0], validation=given[2], worker=given[3], **more)

    storage = SimpleNamespace(storage_filesystem=LocalFileSystem(), trial_fs_path=str(tmp_path))
    monkeypatch.setattr(
        "ray.tune.get_context", lambda: SimpleNamespace(get_storage=lambda: storage)
    )
    checkpoint = tmp_path / "checkpoint_000000"
    checkpoint.mkdir()
    save_checkpoint(checkpoint, {"epoch": 1}, "key")
    monkeypatch.setattr(trainable, "set_torch_threads", lambda _: None)
    monkeypatch.setattr(trainable, "train", listens)
    monkeypatch.setattr("ray.tune.get_checkpoint", lambda: Checkpoint(str(checkpoint)))
    job = SweepJob(MODEL, TUNE, str(patches), "labelled_auc", "key")
    trainable.run_trial({**VALUES, "learning_rate": 0.5}, job)
    assert told["resume"] == {"epoch": 1}
    assert told["settings"].model.learning_rate == 0.5
    normals = PatchStore(patches, VALIDATION)
    np.testing.assert_array_equal(told["validation"].normals, normals.read(0, len(normals)))
    told["worker"].tell_progress(1.25)
    assert epochs_done(LocalFileSystem(), str(tmp_path)) == 1.25


def test_a_trial_trains_for_the_epochs_and_with_the_seed_of_the_sweep() -> None:
    job = SweepJob(MODEL, replace(TUNE, epochs=9, seed=4), "p", IMPLANT_AUC, "k")
    found = trainable._training(VALUES, job)
    assert (found.settings.epochs, found.settings.seed, found.labelled) == (9, 4, True)
    assert (found.key, found.patches, found.concurrent_jobs) == ("k", "p", TUNE.concurrent)


def test_a_trial_is_judged_by_labelled_scans_and_the_implants_of_the_sweep_s_seed(
    patches: Path,
) -> None:
    first, found = (trainable._open(patches, None, seed)[1] for seed in (0, 5))
    normals, labelled = (PatchStore(patches, name) for name in (VALIDATION, LABELLED_VALIDATION))
    expected = load_validation(normals, 5, labelled)
    np.testing.assert_array_equal(found.implanted, expected.implanted)
    assert not np.array_equal(found.implanted, first.implanted)
    assert found.labelled is not None
    assert found.labelled_abnormal is not None
    np.testing.assert_array_equal(found.labelled, labelled.read(0, len(labelled)))
    np.testing.assert_array_equal(found.labelled_abnormal, ~labelled.is_normal())


def test_a_parallel_trial_reports_the_epochs_that_tune_may_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[Any]()
    monkeypatch.setattr("ray.tune.get_context", lambda: SimpleNamespace(get_trial_id=lambda: "t"))
    monkeypatch.setattr("ray.tune.report", told.append)
    monkeypatch.setattr(trainable, "ReportToTune", lambda name: name)
    monkeypatch.setattr(trainable, "fit", lambda _, *given: told.append(given))
    asked = replace(TUNE, workers=2, concurrent=3)
    job = SweepJob(MODEL, asked, "patches", IMPLANT_AUC, "key")
    trainable.run_parallel_trial(VALUES, job, Storage(str(tmp_path)))
    fit = (2, asked, Storage(str(tmp_path / "t")), "train", [IMPLANT_AUC])
    assert told == [fit]
    history = [{"epoch": n, IMPLANT_AUC: n / 10} for n in (1, 2)]
    for name, epochs in (("epoch-000001-5", 1), ("epoch-000002-7", 2)):
        folder = tmp_path / "t/train" / name
        folder.mkdir(parents=True)
        save_checkpoint(folder, {"epoch": epochs, "history": history[:epochs]}, "key")
    trainable.run_parallel_trial(VALUES, job, Storage(str(tmp_path)))
    again = [{**metrics, OBJECTIVE: metrics[IMPLANT_AUC]} for metrics in history]
    assert told[1:] == [*again, fit]


def test_an_epoch_is_reported_with_the_sweep_s_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[Any]()

    def report(metrics: dict[str, float], checkpoint: Checkpoint) -> None:
        content = (Path(checkpoint.path) / CHECKPOINT).read_bytes()
        told.append((metrics, parse_checkpoint(content, "here", "key")))

    storage = SimpleNamespace(trial_fs_path="trial")
    monkeypatch.setattr(
        "ray.tune.get_context", lambda: SimpleNamespace(get_storage=lambda: storage)
    )
    monkeypatch.setattr("ray.tune.report", report)
    metrics = {"epoch": 1, IMPLANT_AUC: 0.5, LABELLED_AUC: 0.75}
    job = SweepJob(MODEL, TUNE, "patches", LABELLED_AUC, "key")
    trainable.report_epoch(metrics, {"epoch": 1}, job)
    monkeypatch.setattr(TuneReportCallback, "__init__", lambda _: None)
    monkeypatch.setattr(TuneReportCallback, "after_report", lambda *given: told.append(given[2]))
    trainable.ReportToTune(LABELLED_AUC).after_report(None, [metrics, {"epoch": 1}], None)
    reported = {**metrics, OBJECTIVE: 0.75}
    assert told == [(reported, {"epoch": 1}), [reported]]


def test_an_epoch_that_is_reported_again_counts_once() -> None:
    result = result_of("a", 40, 0.6, 0.9)
    curve = result.metrics_dataframe
    assert curve is not None
    again = curve.assign(timestamp=curve["timestamp"] + 100)
    both = replace(result, metrics_dataframe=pd.concat([curve, again], ignore_index=True))
    (trial,) = collect_results(cast(ResultGrid, [both]), replace(TUNE, epochs=2)).trials
    assert (trial.training_seconds, trial.ended) == (3, 4)
    assert [point["epoch"] for point in trial.curve] == [1, 2]


def test_pbt_and_random_sweeps_are_seeded() -> None:
    def drawn(asked: TuneSettings) -> tuple[float, float]:
        ray_tune._scheduler(asked, asked.space)
        return random.random(), np.random.random()  # noqa: S311

    assert drawn(PBT) == drawn(PBT) != drawn(replace(PBT, seed=1))

    def suggested(seed: int) -> list[Any]:
        sampler = ray_tune._sampler(replace(TUNE, sampler="random", seed=seed))
        assert isinstance(sampler, BasicVariantGenerator)
        state = sampler._random_state
        assert state is not None
        return [float(state.random()) for _ in range(3)]

    assert suggested(0) == suggested(0) != suggested(1)


def test_pbt_keeps_every_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [
        told_of(monkeypatch, asked)["run_config"].checkpoint_config.num_to_keep
        for asked in (PBT, TUNE)
    ]
    assert kept == [None, ray_tune.KEPT_CHECKPOINTS]


def test_a_sweep_has_as_many_trials_and_so_many_at_once_as_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = replace(TUNE, trials=7, concurrent=3)
    told = told_of(monkeypatch, asked)
    config: TuneConfig = told["tune_config"]
    assert (config.num_samples, config.max_concurrent_trials) == (7, 3)
    assert cast(ASHAScheduler, config.scheduler)._max_t == TUNE.epochs
    assert told["run_config"].failure_config.max_failures == ray_tune.TRIAL_FAILURES
    assert told["run_config"].callbacks[1].total == 7
    choices: dict[str, Range | Choices] = {
        "lambda_adv": Choices((1, 2, 3)), "lambda_con": Choices((4, 5)),
        "lambda_lat": Choices((1,)), "latent_dim": Choices((5, 10)),
    }  # fmt: skip
    told = told_of(monkeypatch, replace(asked, sampler="grid", space=choices))
    assert told["tune_config"].num_samples == 1  # of the whole grid
    assert told["run_config"].callbacks[1].total == 12


def test_what_a_method_does_not_have_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(told_of(monkeypatch, TUNE)["param_space"]) == set(TUNE.space)
    assert set(told_of(monkeypatch, TUNE, "egbad")["param_space"]) == {"latent_dim"}


def test_a_trial_reserves_what_its_worker_needs() -> None:
    for workers, cpus in ((1, 3), (2, 0)):  # the workers of a parallel trial reserve their own
        job = SweepJob(MODEL, replace(TUNE, cpus=3, workers=workers), "p", IMPLANT_AUC, "k")
        found = ray_tune._trainable(job, Storage("s"), trainable.run_trial)
        assert found._resources.required_resources.get("CPU", 0) == cpus


KEY = "0123456789abcdefghij"


def done_by(
    monkeypatch: pytest.MonkeyPatch, folder: Path, result: SweepResult, asked: TuneSettings
) -> list[tuple[Any, ...]]:
    """What a sweep with this result calls, in order: names, and what is given."""
    done = list[tuple[Any, ...]]()

    @contextmanager
    def lock(_: Storage, name: str) -> Iterator[None]:
        done.append(("lock", name))
        yield
        done.append(("release",))

    monkeypatch.setattr(ray_tune, "exclusive_lock", lock)
    for name in (
        "require_capacity", "forget_local_copies", "resumable_rungs", "run_in_thread",
        "close_abandoned_trials", "log_trials", "tag_best",
    ):  # fmt: skip
        monkeypatch.setattr(ray_tune, name, lambda *given, name=name: done.append((name, *given)))
    monkeypatch.setattr(ray_tune, "collect_results", lambda *_: result)
    job = SweepJob(MODEL, asked, "patches", IMPLANT_AUC, KEY)
    assert ray_tune.run_sweep(job, Storage(str(folder)), NoRun()) is result
    return done


def test_a_sweep_is_run_under_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = done_by(monkeypatch, tmp_path, rank([trial(0.7)]), TUNE)
    assert ("lock", sweep_name(KEY)) in done
    expected = ["lock", "resumable_rungs", "run_in_thread", "release"]
    assert [name for name, *_ in done if name in expected] == expected


def test_the_best_trial_s_run_is_tagged_and_all_workers_need_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = rank([trial(0.6, at=1), trial(0.7, at=2)])
    asked = replace(TUNE, concurrent=3, workers=2)
    told = {name: given for name, *given in done_by(monkeypatch, tmp_path, result, asked)}
    assert told["require_capacity"][1] == 6
    assert told["tag_best"][1] == "trial-t2"
    assert set(told["close_abandoned_trials"][1]) == {"trial-t1", "trial-t2"}


def test_the_stage_passes_on_its_settings_and_logs_what_the_sweep_has_found(
    patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / SWEEP).mkdir(parents=True)
    (tmp_path / SWEEP / SUMMARY).touch()
    result, run, told = rank([trial(0.6, at=1), trial(0.7, at=2)]), NotingRun(), dict[str, Any]()

    def note(name: str, returned: object) -> None:
        def noted(*given: Any) -> object:
            told[name] = given
            return returned

        monkeypatch.setattr(stages.tune, name, noted)

    note("require_runnable", None)
    note("pipeline_run", run)
    note("upload_patches", "uploaded")
    note("run_sweep", result)
    note("write_summary", None)
    monkeypatch.setattr("stages.tune.PATCHES", patches)
    monkeypatch.setattr("stages.tune.ray_session", nullcontext)
    monkeypatch.setattr("stages.tune.Tracker.open", lambda: None)
    settings = load_settings(ROOT / "params.yaml", ROOT / "presets.yaml")
    stages.tune.sweep(replace(settings, model=MODEL, tune=TUNE, cache_gb=3, storage="s3://b/x"))
    job, storage, _ = told["run_sweep"]
    key = ray_tune.sweep_key(MODEL, TUNE, read_manifest(patches)["data"])
    assert job == SweepJob(MODEL, TUNE, str(patches), "labelled_auc", key, cast(Any, "uploaded"))
    assert told["upload_patches"] == (patches, storage, 3)
    assert storage == Storage("s3://b/x")
    assert told["write_summary"] == (SWEEP, result, TUNE.space, "labelled_auc")
    assert read_best(SWEEP) == Best(dict(result.best), "labelled_auc", 0.7, 2, "run")
    assert run.told == [
        ("child", "sweep"),
        ("log_params", {"objective": "labelled_auc", **asdict(TUNE)}),
        ("log_metrics", {"objective": 0.7}),
        ("log_folder", SWEEP, "sweep"),
        ("finish",),
    ]
