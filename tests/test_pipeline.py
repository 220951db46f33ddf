"""The whole workflow by DVC, as a user runs it, with the tiny preset."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from dvc.repo import Repo
from mlflow.tracking import MlflowClient

from pipeline.tracking.tracker import sqlite_uri
from tests.clusters import running_ray
from tests.imports import ROOT
from tests.listening import watched_stages
from tests.tiny import make_sixray, write_image

pytestmark = pytest.mark.slow

SPACE = yaml.safe_load((ROOT / "params.yaml").read_text())["tune"]["space"]
SMALLER = {
    "preset: demo": "preset: tiny",
    "bootstrap: 1000": "bootstrap: 100",
    "tsne_points: 1000": "tsne_points: 100",
    "concurrent: 2": "concurrent: 1",  # so that trials share a process
}
LEFT = ["dvc.lock", "results/evaluate/metrics.json"]  # what a run leaves to commit
GONE = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
LISTENING = "listening.json"  # beside the project: the addresses that were seen, by stage
CLASSES = {"knife", "gun", "gun_part", "full_weapon", "overall"}


def run(folder: Path, *command: str, fails: bool = False, **variables: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    unset = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "RAY_ADDRESS")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    found = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    output = found.stdout + found.stderr
    assert (found.returncode != 0) == fails, output[-4000:]
    return output


def run_stages(folder: Path, *names: str, **variables: str) -> str:
    """Run stages in one process, which imports what they need once."""
    code = "; ".join(f"import stages.{name} as s; s.main()" for name in names)
    return run(folder, sys.executable, "-c", code, fails=False, **variables)


def change(folder: Path, block: str, key: str, value: object) -> None:
    params = folder / "params.yaml"
    content = yaml.safe_load(params.read_text())
    content[block][key] = value
    params.write_text(yaml.safe_dump(content, sort_keys=False))


def would_run(folder: Path) -> list[str]:
    """The stages of `dvc repro --dry`, asked in this process: the command starts for a second."""
    return [stage.name for stage in Repo(folder).reproduce(dry=True)]


def copy_checkout(folder: Path) -> Path:
    """Copy the project's files, without those that `make demo` leaves in the checkout."""
    files = run(ROOT, "git", "ls-files", "-co", "--exclude-standard").splitlines()
    for name in (name for name in files if not name.startswith(("dvc.lock", "results/"))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    params = folder / "params.yaml"
    text = params.read_text()
    for old, new in SMALLER.items():
        assert old in text
        text = text.replace(old, new)
    params.write_text(text)
    return folder


def commit_checkout(folder: Path) -> Path:
    copy_checkout(folder)
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.email", "test@example.com")
    run(folder, "git", "config", "user.name", "test")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "tiny")
    return folder


def changed_files(folder: Path) -> list[str]:
    status = run(folder, "git", "status", "--porcelain", "--untracked-files=all")
    return [line[3:] for line in status.splitlines()]


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    """The address of a running Ray, which stages use instead of starting one each."""
    with running_ray(cpus=2) as address:
        yield address


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which `dvc repro` has run with the tiny preset, committed.

    Each stage has started a Ray of its own. Some signs in the path mean something in an address,
    and TMPDIR is too long for Ray's sockets.
    """
    folder = commit_checkout(tmp_path_factory.mktemp("project") / "ü p%r?o#j [1]" / "skipscan")
    temporary = tmp_path_factory.mktemp("x" * 80)
    with watched_stages() as seen:
        output = run(folder, "dvc", "repro", TMPDIR=str(temporary))
    assert output.count("TMPDIR or RAY_TMPDIR is too long for Ray's sockets") == 2  # tune and train
    left = [path for path in temporary.rglob("*") if path.is_file()]
    assert {path.parent.name for path in left} <= {"_ray_lockfiles"}  # which Ray never removes
    found = {stage: [sorted(kind) for kind in kinds] for stage, kinds in seen.items()}
    (folder.parent / LISTENING).write_text(json.dumps(found))
    run(folder, "git", "add", *LEFT)
    run(folder, "git", "commit", "-qm", "First run")
    return folder


def test_every_stage_left_what_it_declares(project: Path) -> None:
    metrics = json.loads((project / "results/evaluate/details.json").read_text())
    assert metrics["auc"].keys() == CLASSES
    for name, value in metrics["auc"].items():
        if metrics["windows"][name]:
            low, high = (metrics["interval"][name][end] for end in ("low", "high"))
            few = metrics["scans"][name] < 5
            assert (low is None) == (high is None) == few
            assert few or 0 <= low <= value <= high <= 1
        else:
            assert value is None
    assert metrics["other"].keys() >= {"darkness", "total_variation", "residual", "latent"}
    table = (project / "results/evaluate/table.txt").read_text()
    assert all(name in table for name in CLASSES)
    rows = [line.split()[0] for line in table.splitlines()]
    assert rows[rows.index("--") + 1] == "granulometry"  # beside the network
    figures = {path.name for path in (project / "results/evaluate/figures").iterdir()}
    assert figures == {f"{n}.png" for n in ("roc", "histogram", "tsne", "exemplars", "scans")}
    assert len((project / "results/tune/trials.csv").read_text().splitlines()) == 1 + 2
    assert "mlflow.db" not in run(project, "git", "ls-files")


def test_without_networks_nothing_is_trained_and_a_window_is_explained(
    project: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "skipscan"
    shutil.copytree(project, folder, symlinks=True)
    settings = yaml.safe_load((folder / "presets.yaml").read_text())
    best = settings["best"]
    settings["tiny"] |= {block: best[block] for block in ("model", "tune", "train")}
    (folder / "presets.yaml").write_text(yaml.safe_dump(settings))
    output = run_stages(folder, "tune", "train", "evaluate")
    assert re.search(r"nothing to train; implant_auc 0\.\d{3}\n", output)
    table = (folder / "results/evaluate/table.txt").read_text()
    rows = [line.split()[0] for line in table.splitlines()]
    assert rows[2:6] == ["anomaly_score", "metal", "dense", "--"]
    page = (folder / "results/evaluate/report.html").read_text(encoding="utf-8")
    assert re.search(r"1: p [\d.e-]+ \((metal|dense)[^)]*than in [\d.%al]+ (of )?normal", page) or (
        re.search(r"than in all \d+ normal windows\)", page)
    )
    run(folder, "dvc", "plots", "show")  # which has no losses to draw
    run(folder, sys.executable, "-m", "stages", "screen")


def test_what_listens_is_in_the_documents(project: Path) -> None:
    seen = json.loads((project.parent / LISTENING).read_text())
    table = (ROOT / "docs/security.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", table, flags=re.M)
    said = {stage: [not cell.startswith("nothing") for cell in cells] for stage, *cells in rows}
    assert {stage: [bool(kind) for kind in kinds] for stage, kinds in seen.items()} == said
    assert len(seen["train"][1]) == 1


def test_with_nothing_changed_nothing_runs(project: Path) -> None:
    assert "up to date" in run(project, "dvc", "repro")


def test_only_a_damaged_shard_is_cut_again(project: Path) -> None:
    shards = sorted((project / "data/patches").glob("*.h5"))
    damaged, *others = shards
    before = {path: path.read_bytes() for path in shards}
    when = {path: path.stat().st_mtime_ns for path in others}
    content = bytearray(before[damaged])
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    run(project, "dvc", "repro", "-sf", "extract")
    assert {path: path.read_bytes() for path in shards} == before
    assert {path: path.stat().st_mtime_ns for path in others} == when
    assert "up to date" in run(project, "dvc", "repro")


@pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise")  # DVC's own
@pytest.mark.parametrize(
    ("block", "key", "value", "first"),
    [
        ("evaluate", "normal_colour", "#000000", "evaluate"),
        ("train", "epochs", 1, "train"),
        ("tune", "space", {**SPACE, "lambda_con": [5, 50]}, "tune"),
        ("model", "batch_size", 32, "tune"),
        ("extract", "stride", 48, "extract"),
        ("scans", "seed", 1, "scans"),
    ],
)
def test_a_change_reruns_from_its_own_stage_on(
    project: Path,
    block: str,
    key: str,
    value: object,
    first: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(project)  # where DVC looks at paths from, in this process
    before = (project / "params.yaml").read_text()
    try:
        change(project, block, key, value)
        assert would_run(project)[0] == first
    finally:
        (project / "params.yaml").write_text(before)


def test_one_mlflow_run_holds_the_pipeline_and_nests_the_sweep(project: Path) -> None:
    client = MlflowClient(sqlite_uri(project / "mlflow.db"))
    runs = {run.info.run_name: run for run in client.search_runs(["1"])}
    (parent,) = [run for name, run in runs.items() if name.startswith("generated-tiny-")]
    sweep = runs["sweep"]
    assert parent.info.status == sweep.info.status == "FINISHED"
    assert "mlflow.parentRunId" not in parent.data.tags
    assert sweep.data.tags["mlflow.parentRunId"] == parent.info.run_id
    trials = [run for name, run in runs.items() if name.startswith("trial-")]
    assert len(trials) == 2
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {sweep.info.run_id}
    metrics = json.loads((project / "results/evaluate/metrics.json").read_text())
    assert parent.data.metrics["auc/overall"] == metrics["auc"]["overall"]
    assert float(parent.data.params["train.lambda_con"]) > 0
    names = [name.rpartition(".")[2] for name in parent.data.params if "tune." not in name]
    assert sorted(name for name in set(names) if names.count(name) > 1) == [
        "false_alarm_rate",  # of windows, and of bags
        "folder",
        "seed",
        "workers",
    ]
    assert "**Result**: AUC on the test split: " in parent.data.tags["mlflow.note.content"]
    top = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert {"roc.png", "exemplars.png", "evaluation"} <= top
    assert len(parent.data.metrics) < 25
    assert all("best_objective" in run.data.metrics for run in trials)
    assert [run.info.run_name.endswith(" (best)") for run in trials].count(True) == 1
    (version,) = client.search_model_versions("name='skipscan'")
    assert version.run_id == parent.info.run_id
    assert [p.step for p in client.get_metric_history(parent.info.run_id, "loss_g")] == [1, 2]
    assert parent.data.tags["objective"] == "labelled_auc"
    assert parent.data.tags["skipscan.labelled_bags"] == "0"
    assert parent.inputs is not None
    assert [d.dataset.name for d in parent.inputs.dataset_inputs] == ["generated"]
    assert any(
        a.path == "evaluation/figures"
        for a in client.list_artifacts(parent.info.run_id, "evaluation")
    )
    assert len(client.search_logged_models(["1"])) == 1


def test_experiments_and_what_shows_them(project: Path, ray_address: str) -> None:
    changes = ["-S", "train.lambda_con=50", "-S", "train.workers=1"]
    output = run(project, "dvc", "exp", "run", "-n", "con50", *changes, RAY_ADDRESS=ray_address)
    assert "Running stage 'train'" in output
    assert "Running stage 'tune'" not in output
    shown = run(project, "dvc", "exp", "show", "--csv")
    assert "con50" in shown
    assert "auc.overall" in shown
    overall = r"auc\.overall +0\.\d+ +0\.\d+ +-?0\.\d+"  # committed, now, and the change
    assert re.search(overall, run(project, "dvc", "metrics", "diff", "--all"))
    run(project, "dvc", "plots", "show")
    assert changed_files(project) == ["dvc.lock", "params.yaml", LEFT[1]]
    page = (project / "dvc_plots" / "index.html").read_text()
    assert all(
        name in page for name in ("roc_per_class", "score_histogram", "losses", "exemplars.png")
    )
    client = MlflowClient(sqlite_uri(project / "mlflow.db"))
    (found,) = client.search_runs(["1"], "tags.`dvc.experiment` = 'con50'")
    assert found.data.params["train.lambda_con"] == "50.0"
    assert found.data.tags["mlflow.source.name"] == "dvc exp run"
    assert "auc/overall" in found.data.metrics


def test_a_first_run_leaves_two_files_to_commit(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "skipscan"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns("work"))
    run(folder, "git", "checkout", "-q", "-f", "HEAD")
    run(folder, "git", "reset", "-q", "HEAD~1")
    assert changed_files(folder) == LEFT
    difference = run(folder, "dvc", "metrics", "diff", "--all")
    assert re.search(r"auc\.overall +- +0\.\d+ +-", difference)
    assert "Traceback" not in difference


def make_yolo(folder: Path) -> None:
    """Twelve scans of noise; one in three has an object of the class `on`, one of `no`."""
    generator = np.random.default_rng(0)
    (folder / "labels").mkdir(parents=True)
    for number in range(12):
        image = generator.integers(0, 256, (64, 80, 3), dtype=np.uint8)
        write_image(folder / "images" / f"s{number:02d}.png", image)
        if number % 3 < 2:
            text = f"{1 - number % 3} 0.5 0.5 0.4 0.4\n"
            (folder / "labels" / f"s{number:02d}.txt").write_text(text)
    (folder / "classes.txt").write_text("no\non\n")


def test_scans_that_dvc_tracks_are_found_by_experiments_here_and_in_a_copy(
    ray_address: str, tmp_path: Path
) -> None:
    folder = commit_checkout(tmp_path / "skipscan")
    assert run(ROOT, "git", "ls-files", "data") == "data/README.md\n"  # `dvc add` wants the rest
    make_yolo(folder / "data" / "raw")
    assert changed_files(folder) == []
    run(folder, "dvc", "add", "data/raw")
    run(folder, "git", "add", "data/raw.dvc")
    run(folder, "git", "commit", "-qm", "My scans")
    changes = ["scans.source=yolo", "scans.folder=data/raw", "+scans.classes={no: normal, on: gun}"]
    command = ["dvc", "exp", "run", *(word for change in changes for word in ("-S", change))]
    in_copy = run(folder, *command, "--temp", "-n", "copy", "extract", RAY_ADDRESS=ray_address)
    assert re.search(r"^test +6 +0 +\d+ +[1-9]", in_copy, flags=re.M)  # normal, gun
    assert changed_files(folder) == []
    here = run(folder, *command, "-S", "scans.seed=1", "-n", "here", "scans")
    assert re.search(r"^gun( +0)+ +4$", here, flags=re.M)
    assert changed_files(folder) == ["params.yaml", "dvc.lock"]
    committed = run(folder, "git", "log", "--format=", "--name-only", "--all")
    assert not [name for name in committed.splitlines() if name.startswith("data/raw/")]


def test_a_store_that_was_gone_is_made_up_for(
    project: Path, ray_address: str, tmp_path: Path
) -> None:
    folder = tmp_path / "skipscan"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns("mlflow.db", "work"))
    output = run_stages(folder, "tune", RAY_ADDRESS=ray_address, **GONE)
    assert output.count("MLflow at http://127.0.0.1:9 failed") == 1
    change(folder, "model", "method", "ganomaly")  # not what made the results
    run_stages(folder, "track")
    assert "MLflow has these results already, in the run " in run_stages(folder, "track")
    client = MlflowClient(sqlite_uri(folder / "mlflow.db"))
    runs = {run.info.run_name: run for run in client.search_runs(["1"])}
    record = json.loads((folder / "results/evaluate/made_from.json").read_text())
    made = record["origin"]["experiment"] or "generated"  # the experiments' test may have run first
    assert sorted(name.split("-")[0] for name in runs) == [made, "sweep", "trial", "trial"]
    (parent,) = [run for name, run in runs.items() if name.startswith(made)]
    assert "auc/overall" in parent.data.metrics
    assert parent.data.params["model.method"] == "skip_ganomaly"
    assert parent.data.tags["skipscan.sweep_run"] == runs["sweep"].info.run_id
    assert len(client.search_logged_models(["1"])) == 1
    assert [p.step for p in client.get_metric_history(parent.info.run_id, "loss_g")] == [1, 2]
    assert all("loss_g" in r.data.metrics for name, r in runs.items() if name.startswith("trial"))


def test_a_folder_of_scans_and_masks_of_one_s_own(ray_address: str, tmp_path: Path) -> None:
    folder = copy_checkout(tmp_path / "skipscan")
    make_sixray(folder / "mine")
    for key, value in (
        ("source", "sixray"),
        ("folder", "mine"),
        ("test_normal", 0),
        ("labelled_validation", 0.3),
    ):
        change(folder, "scans", key, value)
    output = run(folder, sys.executable, "-m", "stages", "scans")
    assert re.search(r"^scans +train +validation +labelled_validation +test$", output, flags=re.M)
    extract = (sys.executable, "-m", "stages", "extract")
    larger = run(folder, *extract, fails=True, RAY_ADDRESS=ray_address)
    reason = "a scan of 64x48 pixels is smaller than a window of 64x64"
    assert f"bad input: mine/normal/n00.png: {reason}" in larger
    assert one_error(larger).startswith("error: 18 bad files, named above")
    change(folder, "extract", "size", 16)
    change(folder, "extract", "stride", 8)
    table = run(folder, *extract, RAY_ADDRESS=ray_address)
    assert [line.split()[0] for line in table.splitlines() if "test " in line] == ["test"]
    few = run(folder, sys.executable, "-m", "stages", "train", fails=True)
    assert one_error(few).endswith("best.json: no such file: run `dvc repro tune`")


@pytest.fixture(scope="module")
def normal_scans(ray_address: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has trained on a set without abnormal scans, without a sweep or MLflow."""
    folder = copy_checkout(tmp_path_factory.mktemp("normal") / "skipscan")
    make_sixray(folder / "mine", threat=0)
    content = yaml.safe_load((folder / "params.yaml").read_text())
    content["scans"] |= {"source": "folder", "folder": "mine"}
    content["extract"] |= {"size": 16, "stride": 8}
    content["model"]["batch_size"] = 8
    content["tune"]["trials"] = 0
    numbers = {"lambda_adv": 1, "lambda_con": 40, "lambda_lat": 1, "latent_dim": 10}
    content["train"] |= {**numbers, "epochs": 1, "workers": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    run(folder, "git", "init", "-q")
    stages = ("scans", "extract", "tune", "train")
    for name in ("data/scans", "data/patches", "results/tune", "results/train"):
        (folder / name).mkdir(parents=True)
        (folder / name / ".a.json.99999999.tmp").touch()  # by a process that was killed
    output = run_stages(folder, *stages, RAY_ADDRESS=ray_address, **GONE)
    assert not list(folder.rglob(".a.json.*.tmp"))
    assert output.count("MLflow at http://127.0.0.1:9 failed") == 1  # of `train`
    return folder


@pytest.mark.parametrize(
    ("test_normal", "said", "drawn"),
    [
        (
            0.25,
            ["no abnormal scan: nothing to measure", "implant_auc 0.", "share of the windows  ",
             "over the threshold  ", "target false-alarm rate: 0.05 of normal windows",
             "scans with a window over it: ",
             "next: look at results/evaluate/figures/unusual.png; "],
            {"histogram", "unusual", "exemplars", "scans"},
        ),
        (
            0,
            ["no window in the test split (scans.test_normal): nothing to measure",
             "implant_auc 0.", "target false-alarm rate: 0.05 of normal windows"],
            set(),
        ),
    ],
)  # fmt: skip
def test_a_set_of_normal_scans_alone(
    test_normal: float, said: list[str], drawn: set[str], normal_scans: Path, ray_address: str
) -> None:
    folder = normal_scans
    change(folder, "scans", "test_normal", test_normal)
    run_stages(folder, "scans", "extract", "evaluate", RAY_ADDRESS=ray_address)
    evaluated = folder / "results/evaluate"
    _, *table = (evaluated / "table.txt").read_text().splitlines()
    assert len(table) == len(said)
    for line, start in zip(table, said, strict=True):
        assert line.startswith(start)
    assert {path.stem for path in (evaluated / "figures").iterdir()} == drawn
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert metrics["auc"] == {"overall": None}
    assert (metrics["false_alarm_rate"] is None) == (not drawn)
    shown = run(folder, "dvc", "metrics", "show", "--json")  # without undefined metrics
    assert ("false_alarm_rate" in shown) == bool(drawn)
    run(folder, "dvc", "plots", "show")
    client = MlflowClient(sqlite_uri(folder / "mlflow.db"))
    found, *_ = client.search_runs(["1"], order_by=["attributes.end_time DESC"])
    assert found.info.status == "FINISHED"
    assert "auc/overall" not in found.data.metrics
    models = client.search_logged_models(["1"])
    assert [model.source_run_id for model in models].count(found.info.run_id) == 1


def test_wrong_input_ends_with_one_line(tmp_path: Path) -> None:
    folder = copy_checkout(tmp_path / "skipscan")
    change(folder, "scans", "sourse", "sixray")
    output = run(folder, sys.executable, "-m", "stages", "scans", fails=True)
    expected = "params.yaml: scans.sourse: unknown parameter: did you mean scans.source?"
    assert one_error(output) == f"error: {expected}"


def one_error(output: str) -> str:
    """The error line of a stage that ended with one; progress bars aside, and no traceback."""
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    return line
