"""The stages `train` and `evaluate` in one process: which split and which rate each part gets."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
import yaml

import stages.evaluate
import stages.extract
import stages.scans
import stages.train
from pipeline.cluster.storage import Storage
from pipeline.common.files import read_table
from pipeline.common.names import LABELLED_VALIDATION, TEST, TRAIN, VALIDATION
from pipeline.common.p_values import RightTail
from pipeline.evaluation.principal_components import PrincipalComponents
from pipeline.evaluation.scores import ANOMALY
from pipeline.models.bag_scores import Tails, bag_score
from pipeline.models.gan import network_state
from pipeline.models.interface import method_of
from pipeline.models.trained_model import TrainedModel, calibrate
from pipeline.patches.extraction import extract_patches
from pipeline.patches.manifest import read_manifest
from pipeline.patches.store import PatchStore
from pipeline.patches.windows import foreground_origins, window_pixels
from pipeline.scans.catalogue import read_catalogue
from pipeline.scans.sources.registry import open_source
from pipeline.scans.splits import split_scans
from pipeline.settings.params import load_settings, source_params
from pipeline.settings.resources import WorkerRange, WorkerResources
from pipeline.sweeps.results import rank, write_sweep
from pipeline.tracking.runs import chosen_params
from pipeline.tracking.tracked_run import NoRun
from pipeline.training import on_ray
from pipeline.training.criterion import IMPLANT_AUC, LABELLED_AUC, load_validation
from pipeline.training.log_curves import LogCurves
from pipeline.training.loop import net_shape
from pipeline.training.on_ray import TrainJob
from stages.entry import EVALUATED, HISTORY, MODEL, PATCHES, SCANS, SWEEP, TRAINED
from tests.imports import ROOT
from tests.sweeps import NotingRun, trial
from tests.tiny import TRAIN as TINY_TRAINING
from tests.tiny import make_sixray

Content = dict[str, Any]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Content:
    """A project of the preset `best` up to `tune`, and the content of its params.yaml."""
    make_sixray(tmp_path / "mine", normal=12, threat=6)
    (tmp_path / "presets.yaml").write_text((ROOT / "presets.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stages.train.pipeline_run", lambda *_: NoRun())
    monkeypatch.setattr("stages.train.Tracker.open", lambda *_: None)
    content: Content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["preset"] = "best"
    content["scans"] |= {"source": "sixray", "folder": "mine"}
    content["extract"] |= {"size": 16, "stride": 12, "shard_scans": 2}
    content["evaluate"] |= {"bootstrap": 20, "tsne_points": 20}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    stages.scans.main()
    stages.extract.main()
    write_sweep(SWEEP, None, "none", None)
    return content


@pytest.mark.usefixtures("project")
def test_a_model_is_fitted_to_training_and_calibrated_on_validation_windows() -> None:
    stages.train.main()
    model = TrainedModel.load(TRAINED / MODEL)
    train, validation = (PatchStore(PATCHES, split) for split in (TRAIN, VALIDATION))
    assert model.normals is not None
    assert len(model.normals) == len(train) != len(validation)
    assert model.tails.windows.count == len(validation)
    assert model.tails.bags.count == validation.scans
    anomaly = model.detector().score(validation.blocks()).anomaly
    assert model.calibration == calibrate(anomaly, 0.05)
    criterion = load_validation(validation, 0, labelled=None)(model.detector())[IMPLANT_AUC]
    assert model.provenance["criterion"] == criterion
    assert model.notes == []


@pytest.mark.slow
def test_validation_bags_are_scored_with_their_windows_on_ignored_objects(
    project: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    project["scans"] |= {"classes": {1: "gun", 2: "ignore"}, "validation": 0.6}
    Path("params.yaml").write_text(yaml.safe_dump(project))
    for stage in (stages.scans, stages.extract, stages.train):
        stage.main()
    model, normals = TrainedModel.load(TRAINED / MODEL), PatchStore(PATCHES, VALIDATION)
    detector = model.detector()
    anomaly = detector.score(normals.blocks()).anomaly
    assert model.calibration == calibrate(anomaly, 0.05)
    windows = RightTail.of(anomaly)
    source, bags, more = open_source(load_settings().scans, SCANS), [], 0
    for row in read_catalogue(SCANS):
        if row.split == VALIDATION:  # as when it is screened
            image = source.read(row.entry()).image
            origins = foreground_origins(image, model.rule)
            found = detector.score([window_pixels(image, origins, model.rule)]).anomaly
            bags.append(bag_score(windows.p_values(found)))
            more += len(origins)
    assert more > len(normals) + 10
    expected = Tails(windows, RightTail.of(np.array(bags)))
    assert_same_tails(model.tails, expected)
    told = spied(monkeypatch, "measure_all")
    monkeypatch.setattr("stages.evaluate.track", lambda: None)
    stages.evaluate.main()
    bags_of_evaluation = told["measure_all"][1][ANOMALY].bags
    assert bags_of_evaluation.scores == pytest.approx(expected.bags.scores)


def assert_same_tails(one: Tails, other: Tails) -> None:
    for name, tail in vars(one).items():
        assert tail.count == vars(other)[name].count
        assert tail.scores == pytest.approx(vars(other)[name].scores)


def test_the_networks_of_the_best_epoch_are_kept(
    project: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    project |= {"preset": "tiny", "storage": "kept", "cache_gb": 3}
    project["model"]["batch_size"] = 8
    losses = {"lambda_adv": 1, "lambda_con": "sweep", "lambda_lat": 1}
    project["train"] |= {**losses, "latent_dim": 10, "workers": 1, "epochs": 2, "seed": 7}
    Path("params.yaml").write_text(yaml.safe_dump(project))
    searched = {"lambda_adv": 2, "lambda_con": 30, "lambda_lat": 2, "latent_dim": 5, "beta1": 0.4}
    write_sweep(SWEEP, rank([replace(trial(0.7), settings=searched)]), IMPLANT_AUC, None)
    run, storage = NotingRun(), Storage.of("kept")
    data, drawn = read_manifest(PATCHES)["data"], list[Any]()

    def upload(*given: Any) -> str:
        assert given == (PATCHES, storage, 3)
        return "uploaded"

    def trained(job: TrainJob, *given: Any) -> Content:
        *others, (curves,) = given
        assert others == [1, load_settings().train, storage]
        assert curves.run is run
        assert cast(Any, job.shared) == "uploaded"
        assert job.key == job.settings.key(data, 1)  # not other data's
        assert (job.settings.epochs, job.settings.seed) == (2, 7)
        assert (job.settings.model.beta1, job.settings.losses.lambda_con) == (0.4, 30)
        shape = net_shape(job.settings, PatchStore(PATCHES, TRAIN))
        build = method_of(job.settings.model).build_networks
        drawn[:] = [network_state(build(shape, seed)) for seed in (1, 2)]
        best = {"epoch": 1, "criterion": 0.7, "networks": drawn[0]}
        history = [{"epoch": 1}, {"epoch": 2}]
        return {"epoch": 2, "model": {"networks": drawn[1]}, "history": history, "best": best}

    monkeypatch.setattr("stages.train.pipeline_run", lambda *_: run)
    monkeypatch.setattr("stages.train.upload_patches", upload)
    monkeypatch.setattr("stages.train.train_on_ray", trained)
    monkeypatch.setattr("stages.train.ray_session", nullcontext)
    stages.train.main()
    found = TrainedModel.load(TRAINED / MODEL)
    assert (found.provenance["epoch"], found.provenance["data"]) == (1, data)
    chosen = found.provenance["settings"]
    assert (found.settings.beta1, chosen["beta1"], chosen["lambda_con"]) == (0.4, 0.4, 30)
    assert run.told == [("log_params", chosen_params(chosen))]
    assert [row["epoch"] for row in read_table(TRAINED / HISTORY)] == ["1", "2"]
    for name, network in drawn[0].items():
        for key, value in network.items():
            assert torch.equal(found.networks[name][key], value)


def spied(monkeypatch: pytest.MonkeyPatch, *names: str) -> dict[str, Any]:
    """Return what these functions of the stage `evaluate` are given from now on, by name."""
    told: dict[str, Any] = {}

    def spy(name: str) -> None:
        whole = getattr(stages.evaluate, name)

        def listens(*given: Any) -> Any:
            told[name] = given
            return whole(*given)

        monkeypatch.setattr(stages.evaluate, name, listens)

    for name in names:
        spy(name)
    return told


@pytest.mark.slow
@pytest.mark.usefixtures("project")
def test_evaluation_takes_each_split_and_each_rate_for_its_own_purpose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stages.train.main()
    write_sweep(SWEEP, rank([trial(0.7)]), LABELLED_AUC, None)
    (SWEEP / "figures").mkdir()
    (SWEEP / "figures" / "history.png").touch()
    told = spied(
        monkeypatch, "tails_of", "measure_all", "write_report", "scored_bags", "write_figures",
        "write_evaluation_page",
    )  # fmt: skip
    fit_components, fitted = PrincipalComponents.fit, list[str]()

    def fit(store: PatchStore) -> PrincipalComponents:
        fitted.append(store.split)
        return fit_components(store)

    monkeypatch.setattr(PrincipalComponents, "fit", fit)
    monkeypatch.setattr("stages.evaluate.track", lambda: None)
    stages.evaluate.main()
    assert fitted == [TRAIN]
    validation, test = PatchStore(PATCHES, VALIDATION), PatchStore(PATCHES, TEST)
    assert told["tails_of"][0].scan_ids.tolist() == validation.scan_ids.tolist()
    assert told["scored_bags"][1].scan_ids.tolist() == test.scan_ids.tolist()
    settings = load_settings()
    assert told["measure_all"][2] == settings.screen.false_alarm_rate
    assert settings.screen.false_alarm_rate != settings.train.false_alarm_rate
    validated, model = told["write_report"][3], TrainedModel.load(TRAINED / MODEL)
    assert validated.scans == validation.scans != test.scans
    assert (validated.criterion, validated.calibration) == (
        model.provenance["criterion"],
        model.calibration,
    )
    assert told["write_figures"][-1] is told["measure_all"][1][ANOMALY]
    _, paragraphs, tables, figures, *_ = told["write_evaluation_page"]
    assert "labels of validation scans ranked the sweep's trials" in paragraphs[1]
    assert [(title, path.name) for title, path in tables] == [
        ("Windows", "table.txt"), ("Bags", "bags.txt"), ("The sweep", "summary.txt")
    ]  # fmt: skip
    drawn = sorted((EVALUATED / "figures").glob("*.png"))
    assert figures == [*drawn, SWEEP / "figures" / "history.png"]


@pytest.mark.slow
def test_an_evaluation_says_everywhere_whose_labels_taught_and_keeps_no_secret(
    project: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    project["scans"]["labelled_training"], project["model"]["head"] = 0.4, "labelled"
    Path("params.yaml").write_text(yaml.safe_dump(project))
    for stage in (stages.scans, stages.extract, stages.train):
        stage.main()
    project["storage"] = "s3://user:secret@host/x"
    Path("params.yaml").write_text(yaml.safe_dump(project))
    told = spied(monkeypatch, "measure_all", "write_evaluation_page", "detector_without_networks")
    monkeypatch.setattr("stages.evaluate.track", lambda: None)
    stages.evaluate.main()
    bags = TrainedModel.load(TRAINED / MODEL).provenance["labelled_bags"]
    assert bags > 0
    said = f"labels of {bags} bags used (model.head)"
    texts = {name: (EVALUATED / name).read_text() for name in ("table.txt", "bags.txt")}
    assert all(text.splitlines()[1] == said for text in texts.values())
    assert f"<b>Not unsupervised</b>: {said}." in (EVALUATED / "report.html").read_text()
    assert "\ngranulometry " in texts["table.txt"]  # the method without the labels, beside it
    assert told["detector_without_networks"][0].split == TRAIN
    assert told["write_evaluation_page"][-1] is told["measure_all"][1][ANOMALY]
    assert "secret" not in (EVALUATED / "settings.yaml").read_text()


def test_the_stages_pass_on_seeds_bags_and_how_scans_are_read(
    project: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    project["scans"] |= {"seed": 7, "group": ".+"}  # each scan is a bag of its own name
    Path("params.yaml").write_text(yaml.safe_dump(project))
    told: dict[str, Any] = {}

    def splits(*given: Any) -> Any:
        told["seed"] = given[2]
        return split_scans(*given)

    def extracts(*given: Any) -> Any:
        told.update(params=given[5], bags=given[7])
        return extract_patches(*given)

    monkeypatch.setattr("stages.scans.split_scans", splits)
    monkeypatch.setattr("stages.extract.extract_patches", extracts)
    stages.scans.main()
    stages.extract.main()
    params = source_params(load_settings().scans)
    assert params
    bags = {row.scan_id: row.scan_id for row in read_catalogue(SCANS)}
    assert told == {"seed": 7, "params": params, "bags": bags}


def test_training_is_done_under_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    @contextmanager
    def lock(*_: Any) -> Iterator[None]:
        done.append("lock")
        yield
        done.append("release")

    monkeypatch.setattr(on_ray, "exclusive_lock", lock)
    monkeypatch.setattr(on_ray, "require_capacity", lambda *_: None)
    monkeypatch.setattr(on_ray, "run_in_thread", lambda work: work())
    monkeypatch.setattr(on_ray, "fit", lambda *_: done.append("fit"))
    monkeypatch.setattr(on_ray, "newest_state", lambda *_: {"epoch": 1})
    job = TrainJob(TINY_TRAINING, "patches", "key")
    on_ray.train_on_ray(job, 1, WorkerResources(1, 0), Storage(str(tmp_path)))
    assert done == ["lock", "fit", "release"]


def test_a_training_has_the_name_of_its_key_and_room_for_its_least_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}
    for name in ("require_capacity", "fit"):
        monkeypatch.setattr(on_ray, name, lambda *given, name=name: told.update({name: given}))
    monkeypatch.setattr(on_ray, "newest_state", lambda *given: given)
    monkeypatch.setattr(on_ray, "run_in_thread", lambda work: work())
    job = TrainJob(TINY_TRAINING, "patches", "0123456789abcdefghij")
    asked = (WorkerRange(2, 5), WorkerResources(1, 0), Storage(str(tmp_path)))
    callbacks = [LogCurves(NoRun())]
    state: Any = on_ray.train_on_ray(job, *asked, callbacks)
    assert told["require_capacity"][1:] == (2, {"CPU": 1, "GPU": 0})
    assert told["fit"] == (job, *asked, "train-0123456789abcdef", callbacks)
    assert state[1:] == (str(tmp_path / "train-0123456789abcdef"), job.key)


def test_ray_train_is_told_of_workers_failures_and_callbacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}

    def trainer(_: Any, **given: Any) -> Any:
        told.update(given)
        return SimpleNamespace(fit=lambda: None)

    monkeypatch.setattr(on_ray, "TorchTrainer", trainer)
    job, curves = TrainJob(TINY_TRAINING, "patches", "key"), LogCurves(NoRun())
    storage = Storage(str(tmp_path))
    on_ray.fit(job, WorkerRange(1, 4), WorkerResources(3, 0.5), storage, "name", [curves])
    scaling, run = told["scaling_config"], told["run_config"]
    assert told["train_loop_config"] == {"job": job}
    assert (scaling.num_workers, scaling.use_gpu) == ((1, 4), True)
    assert scaling.resources_per_worker == {"CPU": 3, "GPU": 0.5}
    assert told["torch_config"].backend == "gloo"  # since workers share a GPU
    assert (run.name, run.storage_path) == ("name", str(tmp_path))
    assert run.failure_config.max_failures == on_ray.WORKER_FAILURES
    assert run.checkpoint_config.num_to_keep == 2
    first, second = run.callbacks
    assert isinstance(first, on_ray.EndAtDivergence)
    assert second is curves


@pytest.mark.parametrize("labelled", [False, True])
def test_labelled_scans_are_opened_only_for_a_sweep_that_asks_for_them(
    patches: Path, monkeypatch: pytest.MonkeyPatch, labelled: bool
) -> None:
    opened = list[str]()
    whole = TrainJob.open

    def noted(job: TrainJob, split: str) -> PatchStore:
        opened.append(split)
        return whole(job, split)

    monkeypatch.setattr(TrainJob, "open", noted)
    job = TrainJob(TINY_TRAINING, str(patches), "key", labelled=labelled)
    found = on_ray.open_validation(job)
    assert set(opened) == {VALIDATION, *[LABELLED_VALIDATION] * labelled}
    assert (found.labelled is not None) == labelled
    expected = load_validation(PatchStore(patches, VALIDATION), TINY_TRAINING.seed, None)
    np.testing.assert_array_equal(found.implanted, expected.implanted)


def test_an_epoch_and_a_training_are_told_in_a_line() -> None:
    metrics = {"epoch": 3.0, "loss_g": 0.123456, "implant_auc": 1.0}
    assert on_ray.describe_epoch(metrics, 15) == "epoch 3 of 15: loss_g 0.1235 implant_auc 1"
    best = {"epoch": 2, "criterion": 0.71251}
    assert stages.train.trained_text({"epoch": 5, "best": best}) == (
        "trained 5 epochs; epoch 2 is kept, which has the best implant_auc, 0.713"
    )
    assert stages.train.trained_text({"epoch": 0, "best": best}) == (
        "nothing to train; implant_auc 0.713"
    )


def test_the_advice_to_commit_is_the_readme_s() -> None:
    advice = stages.evaluate.NEXT.partition("Next: ")[2]
    assert advice in (ROOT / "README.md").read_text()
