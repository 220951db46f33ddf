import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from pipeline.common.errors import InputError
from pipeline.common.files import yaml_text
from pipeline.scans.sources.registry import open_source
from pipeline.settings.params import Source, load_settings
from pipeline.settings.resources import WorkerRange
from pipeline.sweeps.results import Best, choose_settings
from stages.params import main

NO_SWEEP = Best(None, objective="none", value=None, trials=0, run_id=None)

ROOT = Path(__file__).parents[1]
PRESETS = ROOT / "presets.yaml"


def with_changes(folder: Path, **changes: object) -> Path:
    content = yaml.load((ROOT / "params.yaml").read_text(), yaml.CSafeLoader)
    for name, value in changes.items():
        *block, key = name.split("__")
        target = content[block[0]] if block else content
        target[key] = value
    path = folder / "params.yaml"
    path.write_text(yaml_text(content))
    return path


def test_the_paper_s_values(tmp_path: Path) -> None:
    settings = load_settings(with_changes(tmp_path, preset="paper"), PRESETS)
    model, train = settings.model, settings.train
    assert (model.ngf, model.ndf, model.learning_rate) == (64, 64, 2e-3)
    assert (model.beta1, model.beta2) == (0.5, 0.999)
    losses = choose_settings(model, train, NO_SWEEP)[1]
    assert (losses.lambda_adv, losses.lambda_con, losses.lambda_lat) == (1, 40, 1)
    assert (train.latent_dim, train.epochs, settings.extract.size) == (100, 15, 64)
    assert settings.tune.trials == 0


@pytest.mark.parametrize("preset", yaml.safe_load(PRESETS.read_text()))
def test_every_preset_fills_every_null(tmp_path: Path, preset: str) -> None:
    assert load_settings(with_changes(tmp_path, preset=preset), PRESETS).preset == preset


def test_params_override_the_preset(tmp_path: Path) -> None:
    settings = load_settings(with_changes(tmp_path, train__lambda_con=50), PRESETS)
    assert settings.train.lambda_con == 50
    assert settings.train.lambda_adv == "sweep"


@pytest.mark.parametrize(
    ("source", "given", "share"),
    [
        ("generated", None, 0.3),
        ("sixray", None, 0),
        ("cifar10", None, 0),
        ("sixray", 0.2, 0.2),
    ],
)
def test_no_labels_of_one_s_own_scans_are_used_unasked(
    tmp_path: Path, source: str, given: float | None, share: float
) -> None:
    changes = {
        "scans__source": source,
        "scans__folder": "data/README.md" if source == "generated" else "mine",
        "scans__labelled_validation": given,
    }
    assert (
        load_settings(with_changes(tmp_path, **changes), PRESETS).scans.labelled_validation == share
    )


def test_the_old_name_of_generated_scans_is_read_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(with_changes(tmp_path, scans__source="embedded"), PRESETS)
    assert settings == load_settings(with_changes(tmp_path, scans__source="generated"), PRESETS)
    said = "params.yaml: scans.source: embedded is called generated now\n"
    assert capsys.readouterr().err.endswith(said)


def test_the_readme_s_lines_for_each_format_are_settings(tmp_path: Path) -> None:
    lines = re.findall(r"^\{source: .*\}", (ROOT / "README.md").read_text(), flags=re.M)
    found = set()
    for line in lines:
        changes = {f"scans__{name}": value for name, value in yaml.safe_load(line).items()}
        settings = load_settings(with_changes(tmp_path, **changes), PRESETS).scans
        open_source(settings, tmp_path)
        found.add(settings.source)
    assert found == set(get_args(Source)) - {"generated"}


def commands() -> list[str]:
    """Every `dvc exp run` with settings in the README and the docs."""
    folders = ("docs", "experiments", "benchmarks", "faults", "fuzz")
    pages = [
        ROOT / "README.md",
        *(page for name in folders for page in (ROOT / name).rglob("*.md")),
    ]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    return re.findall(r"^dvc exp run -S.*", text.replace("\\\n", " "), flags=re.M)


@pytest.mark.parametrize("command", commands())
def test_what_the_docs_set_can_be_set(tmp_path: Path, command: str) -> None:
    words = shlex.split(command, comments=True)
    changes = [value for flag, value in pairwise(words) if flag == "-S"]
    path = with_changes(tmp_path)
    apply_overrides(path, changes)
    assert load_settings(path, PRESETS) != load_settings(with_changes(tmp_path), PRESETS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__lambda_cno": 1}, "train.lambda_cno: unknown parameter"),
        ({"cache_gb": 0}, "cache_gb: got 0.0, expected more than 0"),
        ({"extra": 1}, "extra: unknown parameter"),
        ({"preset": "dmeo"}, "preset: got 'dmeo', expected one of"),
        ({"preset": ["demo"]}, r"preset: got \['demo'\], expected one of"),
        ({"extract__size": 48}, "extract.size: got 48, expected a power of 2"),
        ({"train__lambda_con": "many"}, "train.lambda_con: .*got 'many'"),
        ({"train__lambda_con": -1}, "train.lambda_con: got -1"),
        ({"train__workers": 0}, "train.workers: got 0, expected 1 or more"),
        ({"train__workers": {"min": 2, "max": 2}}, "train.workers.min: got 2, expected from 1 to"),
        ({"train__workers": "many"}, "train.workers: .*got 'many'"),
        ({"train__cpus": 0}, "train.cpus: got 0.0, expected more than 0"),
        ({"tune__gpus": 2}, "tune.gpus: got 2.0, expected 0 to 1"),
        ({"tune__workers": 0}, "tune.workers: got 0, expected 1 or more"),
        ({"scans__source": "sixrey"}, "scans.source: .*got 'sixrey'"),
        ({"scans__source": "yolo"}, "scans.folder: got 'data/README.md', expected the folder"),
        (
            {"scans__folder": "data/raw"},
            "scans.source: got 'generated', expected the format of the",
        ),
        (
            {"scans__source": "cifar10", "scans__folder": "x", "scans__normal_windows": "outside"},
            "scans.normal_windows: got .*expected extract.mode windows, and a source",
        ),
        ({"scans__group": "("}, r"scans.group: got '\(', expected a regular expression"),
        ({"scans__group": {"table": "b.csv", "scan": "id"}}, "scans.group.*bag: missing"),
        ({"scans__classes": {"gun": 3}}, "scans.classes.gun: .*got 3"),
        ({"scans__classes": {"gun": True}}, "scans.classes.gun: .*got True"),
        ({"scans__classes": {True: "gun"}}, "scans.classes: got the key True, expected a word"),
        ({"scans__classes": {1.0: "gun"}}, "scans.classes: got the key 1.0, expected a word"),
        ({"scans__classes": {1: "gun", "1": "knife"}}, "scans.classes: .*expected each class once"),
        ({"scans__bad_input": "ignore"}, "scans.bad_input: .*got 'ignore'"),
        ({"scans__validation": 0}, "scans.validation: got 0.0, expected more than 0"),
        ({"scans__sourse": "sixray"}, "scans.sourse: unknown parameter"),
        ({"scans__source": "sixray"}, "scans.folder: got 'data/README.md'"),
        ({"scans__validation": 1.5}, "scans.validation: got 1.5"),
        ({"tune__space": {"lambda_con": [9, 3]}}, "tune.space.lambda_con: got .*low < high"),
        ({"tune__space": {"lambda_cno": [3, 9]}}, "tune.space: got 'lambda_cno', expected one of"),
        ({"tune__space": {"lambda_con": [3, 9]}}, "tune.space: .*expected lambda_adv too"),
        ({"tune__space": {"lambda_con": "wide"}}, "tune.space.lambda_con.*got 'wide'"),
        ({"tune__sampler": "grid"}, "tune.space: got .*expected choices for every setting"),
        ({"tune__scheduler": "pbt"}, "tune.scheduler: .*expected sampler random"),
        ({"model__batch_size": 1}, "model.batch_size: got 1"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_file(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = with_changes(tmp_path, **changes)
    with pytest.raises(InputError, match=f"params.yaml: {message}") as error:
        load_settings(path, PRESETS)
    assert "\n" not in str(error.value)


def test_files_that_are_not_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        load_settings(tmp_path / "none.yaml", PRESETS)
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match=r"list\.yaml: expected a mapping"):
        load_settings(tmp_path / "list.yaml", PRESETS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1", "line 2: .*expected ',' or ']'"),
        ("a: 1\nb: 2\na: 3\n", 'line 3: .*found duplicate key "a"'),
        ("a: {no: normal, no: gun}", 'line 1: .*found duplicate key "no"'),
        ("a: 1\n--- \na: 2\n", "line 2: expected a single document"),
        ("a: 2024-13-01", "a value that cannot be read: month must be in 1..12"),
        ("a: \0", ".*special characters are not allowed"),
        ("[[a]]: 1", "a value that cannot be read: unhashable type"),
        ("a: !!bool b", "a value that cannot be read: 'b'"),
        ("a: !!int ''", "a value that cannot be read: string index out of range"),
    ],
)
def test_broken_yaml_is_one_line_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"broken\.yaml: not valid YAML: {message}") as error:
        load_settings(path, PRESETS)
    assert "\n" not in str(error.value)


def with_text(folder: Path, old: str, new: str) -> Path:
    text = (ROOT / "params.yaml").read_text()
    assert text.count(old) == 1
    path = folder / "params.yaml"
    path.write_text(text.replace(old, new))
    return path


def test_words_that_older_yaml_takes_for_booleans_are_class_names(tmp_path: Path) -> None:
    classes = {"no": "normal", "on": "gun", "yes": "n", "off": "y", "y": "off", "n": "no", 1: "on"}
    text = ", ".join(f"{name}: {meaning}" for name, meaning in classes.items())
    path = with_text(tmp_path, "classes: {}", f"classes: {{{text}}}")
    assert load_settings(path, PRESETS).scans.classes == classes


def test_dvc_sets_such_words_as_class_names(tmp_path: Path) -> None:
    path = with_text(tmp_path, "preset: demo", "preset: tiny")
    apply_overrides(path, ["+scans.classes={no: normal, on: gun, 3: y}"])
    classes = load_settings(path, PRESETS).scans.classes
    assert classes == {"no": "normal", "on": "gun", 3: "y"}


@pytest.mark.parametrize("number", ["2.0e-4", "2e-4", "0.0002", ".2e-3"])
def test_numbers_in_any_notation(tmp_path: Path, number: str) -> None:
    path = with_text(tmp_path, "learning_rate: null", f"learning_rate: {number}")
    assert load_settings(path, PRESETS).model.learning_rate == 2e-4


NAMES = (
    "no",
    "2e4",
    "007",
    "null",
    "true",
    "~",
    "",
    " a ",
    "a: b",
    "#x",
    "1:30",
    "2024-01-01",
    "é",
)


def test_what_the_stage_params_prints_is_read_back_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    classes: dict[str | int, str] = {7: "gun", "last": "no"}
    classes |= {name: f"of {name}" for name in NAMES}
    with_changes(tmp_path, scans__classes=classes, model__learning_rate=2e-5)
    shutil.copy(PRESETS, tmp_path)
    monkeypatch.chdir(tmp_path)
    before = load_settings()
    main()
    Path("params.yaml").write_text(capsys.readouterr().out)
    assert load_settings() == before
    assert before.scans.classes == classes


def test_workers_by_number_or_by_range(tmp_path: Path) -> None:
    path = with_changes(tmp_path, train__workers={"min": 1, "max": 4}, train__gpus=0.5)
    train = load_settings(path, PRESETS).train
    assert isinstance(train.workers, WorkerRange)
    assert list(train.workers.counts) == [1, 2, 3, 4]
    assert train.each == {"CPU": 1, "GPU": 0.5}
