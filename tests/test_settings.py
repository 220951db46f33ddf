import re
import shlex
import shutil
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from matplotlib.colors import is_color_like
from PIL.ImageColor import colormap

from pipeline.common.errors import InputError
from pipeline.common.files import yaml_text
from pipeline.scans.sources.registry import open_source
from pipeline.settings.blocks import Source
from pipeline.settings.checks import SCHEMES, require_colour
from pipeline.settings.params import Settings, load_settings, make_settings, source_params
from pipeline.settings.resources import WorkerRange
from pipeline.settings.search_space import LOSS_NAMES
from pipeline.sweeps.results import Best, choose_settings
from stages.params import changed_settings, main
from tests.imports import ROOT

NO_SWEEP = Best(None, objective="none", value=None, trials=0, run_id=None)

PRESETS = ROOT / "presets.yaml"
PARAMETERS = yaml.load((ROOT / "params.yaml").read_text(), yaml.CSafeLoader)
AVAILABLE = yaml.load(PRESETS.read_text(), yaml.CSafeLoader)


def settings_with(**changes: object) -> Settings:
    """Return the settings of params.yaml with changes, without the time that YAML takes."""
    content = deepcopy(PARAMETERS)
    for name, value in changes.items():
        *block, key = name.split("__")
        target = content[block[0]] if block else content
        target[key] = value
    return make_settings(content, AVAILABLE, Path("params.yaml"), PRESETS)


def test_the_paper_s_values() -> None:
    settings = settings_with(preset="paper")
    model, train = settings.model, settings.train
    assert (model.ngf, model.ndf, model.learning_rate) == (64, 64, 2e-3)
    assert (model.beta1, model.beta2) == (0.5, 0.999)
    losses = choose_settings(model, train, NO_SWEEP)[1]
    assert (losses.lambda_adv, losses.lambda_con, losses.lambda_lat) == (1, 40, 1)
    assert (train.latent_dim, train.epochs, settings.extract.size) == (100, 15, 64)
    assert settings.tune.trials == 0


@pytest.mark.parametrize("preset", AVAILABLE)
def test_every_preset_fills_every_null(preset: str) -> None:
    assert settings_with(preset=preset).preset == preset


def test_params_override_the_preset() -> None:
    settings = settings_with(train__lambda_con=50)
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
    source: str, given: float | None, share: float
) -> None:
    changes = {
        "scans__source": source,
        "scans__folder": "data/README.md" if source == "generated" else "mine",
        "scans__labelled_validation": given,
    }
    assert settings_with(**changes).scans.labelled_validation == share


def yaml_blocks() -> list[str]:
    """The YAML blocks of the README and the docs."""
    pages = [ROOT / "README.md", ROOT / "data" / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    return re.findall(r"^```yaml\n(.*?)^```", text, flags=re.M | re.S)


def shown_blocks() -> list[dict[str, Any]]:
    """What the README and the docs show of params.yaml: blocks, or one block `scans` on a line."""
    found: list[dict[str, Any]] = []
    for text in yaml_blocks():
        lines = re.findall(r"^\{source: .*\}", text, flags=re.M)
        content = {} if lines else yaml.safe_load(text)
        if "classes" in content:  # a key of the block `scans`
            content = {"scans": {"source": "coco", "folder": "path", **content}}
        found += [{"scans": yaml.safe_load(line)} for line in lines] or [content]
    return [content for content in found if content.keys() <= PARAMETERS.keys()]


@pytest.mark.slow
@pytest.mark.parametrize("blocks", shown_blocks())
def test_what_the_docs_show_of_the_parameters_works_when_it_is_pasted(
    tmp_path: Path, blocks: dict[str, Any]
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml_text({**PARAMETERS, **blocks}))
    settings = load_settings(path, PRESETS)
    assert settings != load_settings(ROOT / "params.yaml", PRESETS)
    open_source(settings.scans, tmp_path)


def test_the_docs_show_every_source_of_scans_and_the_workers() -> None:
    shown = shown_blocks()
    sources = {blocks["scans"]["source"] for blocks in shown if "scans" in blocks}
    assert sources == set(get_args(Source)) - {"generated"}
    assert any({"tune", "train"} <= blocks.keys() for blocks in shown)


@pytest.mark.parametrize("preset", AVAILABLE)
def test_a_key_that_is_left_out_has_the_default_that_the_file_shows(
    tmp_path: Path, preset: str
) -> None:
    blocks: dict[str, Any] = {
        name: {} for name, block in PARAMETERS.items() if isinstance(block, dict)
    }
    path = tmp_path / "params.yaml"
    path.write_text(yaml_text({**PARAMETERS, **blocks, "preset": preset}))
    assert load_settings(path, PRESETS) == settings_with(preset=preset)


def commands() -> list[str]:
    """Every `dvc exp run` with settings in the README and the docs."""
    folders = ("docs", "experiments", "benchmarks", "faults", "fuzz")
    pages = [
        ROOT / "README.md",
        *(page for name in folders for page in (ROOT / name).rglob("*.md")),
    ]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    return re.findall(r"^dvc exp run -S.*", text.replace("\\\n", " "), flags=re.M)


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_what_the_docs_set_can_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    words = shlex.split(command, comments=True)
    changes = [value for flag, value in pairwise(words) if flag == "-S"]
    path = Path(shutil.copy(ROOT / "params.yaml", tmp_path))
    apply_overrides(path, changes)
    as_dvc = load_settings(path, PRESETS)
    assert as_dvc != settings_with()
    monkeypatch.chdir(ROOT)
    assert changed_settings(changes) == as_dvc


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train__lambda_cno": 1},
            r"train.lambda_cno: unknown parameter: did you mean train.lambda_con\?$",
        ),
        ({"train__workers": {"cpus": 2}}, r"train.workers.cpus: .*did you mean train.cpus\?$"),
        ({"train__workers": {"min": 2}}, "train.workers.max: missing: .* has one$"),
        (
            {"train__workers": {"min": 2}, "train__seed": 0.5},
            r"train.workers.max: missing: .* \(and 1 more\)$",
        ),
        ({"extract__ngf": 1}, r"extract.ngf: unknown parameter: did you mean model.ngf\?$"),
        ({"train__colour": 1}, "train.colour: unknown parameter: remove it or correct its name$"),
        ({"storage": ""}, "storage: got '', expected a folder, or an address that"),
        ({"storage": "s4://bucket/x"}, "storage: got 's4://bucket/x', expected a folder, or"),
        ({"storage": "s3://"}, "storage: got 's3://', expected a folder, or"),
        ({"storage": "work\x1b[31m"}, "storage: got .*expected a folder, or"),
        ({"evaluate__normal_colour": "bleu"}, "evaluate.normal_colour: got 'bleu', expected a"),
        ({"evaluate__abnormal_colour": "#12345"}, "evaluate.abnormal_colour: got '#12345'"),
        ({"evaluate__bootstrap": 10**6}, "evaluate.bootstrap: got 1000000, expected 1 to 100000$"),
        ({"evaluate__exemplars": 51}, "evaluate.exemplars: got 51, expected 1 to 50$"),
        ({"evaluate__bootstrap": 0}, "evaluate.bootstrap: got 0, expected 1 to 100000$"),
        ({"evaluate__tsne_points": 9}, "evaluate.tsne_points: got 9, expected 10 to 100000$"),
        ({"evaluate__exemplars": 0}, "evaluate.exemplars: got 0, expected 1 to 50$"),
        ({"storage": "~/ray"}, "storage: got '~/ray', expected a path without ~"),
        ({"scans__classes": {"gun": "Normal"}}, "scans.classes.gun: got 'Normal', expected nor"),
        ({"scans__classes": {"gun": " ignore"}}, "scans.classes.gun: got ' ignore', expected no"),
        (
            {"scans__group": {"table": "../bags.csv", "scan": "a", "bag": "b"}},
            "scans.group.table: got '../bags.csv', expected a file below scans.folder",
        ),
        ({"int": 3}, "int: unknown parameter"),
        ({"scans__int": 3}, "scans.int: unknown parameter"),
        ({"evaluate__seed": -1}, "evaluate.seed: got -1, expected 0 to 4294967295$"),
        ({"scans__seed": 2**32}, "scans.seed: got 4294967296, expected 0 to 4294967295$"),
        ({"tune__seed": -1}, "tune.seed: got -1"),
        ({"train__seed": -1}, "train.seed: got -1"),
        ({"train__epochs": True}, "train.epochs: got True, expected a number or a word"),
        ({"tune__space": {"lambda_con": {"choices": [False]}}}, "tune.space.lambda_con.choices: g"),
        ({"train__latent_dim": 0}, "train.latent_dim: got 0, expected 1 or more, or sweep$"),
        (
            {"train__lambda_adv": "abc"},
            "train.lambda_adv: got 'abc', expected a valid number or 'sweep' or 'method'$",
        ),
        (
            {"train__workers": "abc", "train__seed": 0.5},
            r"train.workers: got 'abc', expected .* or a block of parameters \(and 1 more\)$",
        ),
        (
            {"model__learning_rate": float("inf")},
            "model.learning_rate: got inf, expected a finite",
        ),
        ({"scans__abnormal_class": "cow"}, "scans.abnormal_class: got 'cow', expected one of pla"),
        *(
            ({"scans__classes": {"gun": word}}, f"scans.classes.gun: got '{word}', expected anoth")
            for word in (
                "ignored",
                "overall",
                "grazing",
                "background",
                "classes",
                "scans",
                "shards",
                "skipped",
            )
        ),
        ({"scans__classes": {"gun": " "}}, "scans.classes.gun: got ' ', expected normal, ignore"),
        ({"scans__group": ""}, "scans.group: got '', expected a regular expression"),
        ({"extract__size": 8192}, "extract.size: got 8192, expected a power of 2, 16 to 4096$"),
        ({"train__workers": 3}, "model.batch_size: got 64, expected a multiple of 3 workers"),
        ({"train__workers": 64}, "model.batch_size: got 64, expected a multiple of 64 workers, 2"),
        ({"train__workers": {"min": 2, "max": 3}}, "model.batch_size: got 64, expected a multipl"),
        ({"tune__workers": 5}, "model.batch_size: got 64, expected a multiple of 5 workers"),
        ({"tune__trials": 0}, "tune.trials: got 0, expected 1 or more, since train.lambda_adv is"),
        (
            {"model__method": "anogan", "model__latent_score": "neighbours"},
            "model.latent_score: go",
        ),
        (
            {"model__head": "labelled", "scans__labelled_training": 0.1},
            "model.head: got 'labelled', expected none: skip_ganomaly has no such option$",
        ),
        (
            {"preset": "best", "model__head": "labelled"},
            "scans.labelled_training: got 0.0, expected more than 0, since model.head is labelled$",
        ),
        ({"preset": "best", "model__head": "labels"}, "model.head: .*got 'labels'"),
        ({"train__cpus": 0.00001}, "train.cpus: got 1e-05, expected 0.0001 or more"),
        ({"tune__gpus": 0.00001}, "tune.gpus: got 1e-05, expected 0 to 1"),
        ({"evaluate": 3}, "evaluate: got 3, expected a block of parameters$"),
        ({"train": None}, "train: got None, expected a block of parameters$"),
        ({"train__false_alarm_rate": 0}, "train.false_alarm_rate: got 0.0, expected a share"),
        ({"train__false_alarm_rate": 1}, "train.false_alarm_rate: got 1.0, expected a share"),
        ({"tune__max_failed": 1.5}, "tune.max_failed: got 1.5, expected a share from 0 to 1"),
        ({"tune__max_failed": -0.5}, "tune.max_failed: got -0.5, expected a share from 0 to 1"),
        ({"cache_gb": 0}, "cache_gb: got 0.0, expected more than 0"),
        (
            {"screen__false_alarm_rate": 0},
            "screen.false_alarm_rate: got 0.0, expected a share",
        ),
        (
            {"screen__false_alarm_rate": 1},
            "screen.false_alarm_rate: got 1.0, expected a share",
        ),
        ({"screen__folder": ""}, "screen.folder: got '', expected a folder, or"),
        ({"extra": 1}, "extra: unknown parameter"),
        ({"preset": "dmeo"}, "preset: got 'dmeo', expected one of"),
        ({"preset": ["demo"]}, r"preset: got \['demo'\], expected one of"),
        ({"extract__stride": 0}, "extract.stride: got 0, expected 1 or more"),
        ({"extract__min_foreground": 1.5}, "extract.min_foreground: got 1.5, expected a share"),
        ({"extract__shard_scans": 0}, "extract.shard_scans: got 0, expected 1 or more, or null"),
        ({"extract__size": 48}, "extract.size: got 48, expected a power of 2"),
        ({"train__lambda_con": "many"}, "train.lambda_con: .*got 'many'"),
        ({"train__lambda_con": -1}, "train.lambda_con: got -1"),
        ({"train__workers": 0}, "train.workers: got 0, expected 1 or more"),
        ({"train__workers": {"min": 2, "max": 2}}, "train.workers.min: got 2, expected from 1 to"),
        ({"train__workers": "many"}, "train.workers: .*got 'many'"),
        ({"train__cpus": 0}, "train.cpus: got 0.0, expected 0.0001 or more"),
        ({"tune__trials": -1}, "tune.trials: got -1, expected 0 or more"),
        ({"tune__epochs": 0}, "tune.epochs: got 0, expected 1 or more"),
        ({"tune__concurrent": 0}, "tune.concurrent: got 0, expected 1 or more"),
        ({"screen__workers": -1}, "screen.workers: got -1, expected 0 or more"),
        ({"tune__gpus": 2}, "tune.gpus: got 2.0, expected 0 to 1"),
        ({"tune__workers": 0}, "tune.workers: got 0, expected 1 or more"),
        ({"scans__source": "sixrey"}, "scans.source: .*got 'sixrey'"),
        ({"scans__source": "yolo"}, "scans.folder: got 'data/README.md', expected the folder"),
        (
            {"scans__folder": "data/raw"},
            "scans.source: got 'generated', expected the format of the scans in scans.folder, such "
            "as coco; or, for generated scans, scans.folder: data/README.md$",
        ),
        (
            {
                "scans__source": "sixray",
                "scans__folder": "x",
                "scans__normal_windows": "outside",
                "extract__mode": "whole",
            },
            "scans.normal_windows: got .*expected extract.mode windows, and a source",
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
        ({"tune__space": {"lambda_con": [0, 9]}}, "tune.space.lambda_con: got .*0 < low < high"),
        ({"tune__space": {"lambda_cno": [3, 9]}}, "tune.space: got 'lambda_cno', expected one of"),
        ({"tune__space": {"lambda_con": [3, 9]}}, "tune.space: .*expected lambda_adv too"),
        ({"tune__space": {"lambda_con": "wide"}}, "tune.space.lambda_con.*got 'wide'"),
        ({"tune__sampler": "grid"}, "tune.space: got .*expected choices for every setting"),
        ({"tune__scheduler": "pbt"}, "tune.scheduler: .*expected sampler random"),
        ({"model__batch_size": 1}, "model.batch_size: got 1"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_file(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"params.yaml: {message}") as error:
        settings_with(**changes)
    assert "\n" not in str(error.value)


def test_a_misspelt_key_is_named_although_the_right_one_is_missing(tmp_path: Path) -> None:
    path = with_text(tmp_path, "  false_alarm_rate: 0.05", "  false_alarm: 0.05     ")
    with pytest.raises(InputError) as error:
        load_settings(path, PRESETS)
    said = "train.false_alarm: unknown parameter: did you mean train.false_alarm_rate?"
    assert str(error.value) == f"{path}: {said}"


def test_the_missing_parameter_is_not_counted_beside_its_misspelt_key(tmp_path: Path) -> None:
    path = with_text(tmp_path, "storage: work/ray", "storrage: work/ray")
    with pytest.raises(InputError, match=r"storrage: unknown parameter: did you mean storage\?$"):
        load_settings(path, PRESETS)


DEFAULT_SPACE = PARAMETERS["tune"]["space"]
PBT: dict[str, object] = {
    "tune__scheduler": "pbt",
    "tune__sampler": "random",
    "tune__epochs": 2,
    "tune__space": {**DEFAULT_SPACE, "latent_dim": {"choices": [50]}},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tune__workers": 2}, "scheduler: got 'random, 2 epochs, 2 workers'"),
        ({"tune__epochs": 1}, "scheduler: got 'random, 1 epochs, 1 workers'"),
        ({"tune__sampler": "optuna"}, "scheduler: got 'optuna, 2 epochs, 1 workers'"),
        (
            {"tune__space": DEFAULT_SPACE},
            "space: got .*latent_dim.*, expected one choice for each",
        ),
    ],
)
def test_a_population_is_only_of_trials_that_can_take_over_one_another(
    changes: dict[str, object], message: str
) -> None:
    settings_with(**PBT)
    with pytest.raises(InputError, match=rf"tune\.{message}"):
        settings_with(**{**PBT, **changes})


def test_what_cannot_change_how_a_scan_is_read_leaves_its_shard_valid() -> None:
    def reading(**changes: object) -> dict[str, object]:
        return source_params(settings_with(**changes).scans)

    own = {"scans__source": "yolo", "scans__folder": "mine"}
    for name, value in (
        ("seed", 7), ("count", 7), ("group", "(.)"), ("bad_input", "skip"), ("parts", "shares"),
        ("unannotated", "bad"), ("folder", "others"), ("validation", 0.3), ("test_normal", 0.3),
        ("labelled_validation", 0.1), ("labelled_training", 0.1),
    ):  # fmt: skip
        assert reading(**{**own, f"scans__{name}": value}) == reading(**own), name
    for name, other in (("classes", {"a": "gun"}), ("source", "voc"), ("abnormal_class", "cat")):
        assert reading(**{**own, f"scans__{name}": other}) != reading(**own), name


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("ngf", [4, 9], r"ngf: got \[4.0, 9.0\], expected choices of whole numbers"),
        ("latent_dim", {"choices": [2, 2.5]}, r"latent_dim.choices: got \[2.5\], expected whole"),
        ("ngf", {"choices": [4, -1]}, "ngf: got -1, expected 1 or more"),
        ("lambda_con", {"choices": [1, -4]}, "lambda_con: got -4, expected a finite number"),
        ("lambda_con", {"choices": []}, r"lambda_con.choices: got \(\), expected one or more"),
        ("lambda_con", {"chioces": [4]}, "lambda_con.chioces: unknown parameter"),
        ("lambda_con", [1, float("inf")], r"lambda_con.1: got inf, expected a finite number"),
        ("beta1", [0.5, 2], "beta1: got 2.0, expected from 0 to below 1"),
        ("search_steps", {"choices": [9]}, "search_steps: got 9, expected 500: skip_ganomaly has"),
        (
            "batch_size",
            {"choices": [16, 33]},
            "batch_size: got 33, expected a multiple of 2 workers",
        ),
    ],
)
def test_a_sweep_over_values_that_their_setting_does_not_allow_is_refused(
    name: str, values: object, message: str
) -> None:
    place = "model" if "multiple" in message else r"tune\.space"
    with pytest.raises(InputError, match=rf"params\.yaml: {place}\.{message}"):
        settings_with(tune__space={**DEFAULT_SPACE, name: values}, tune__workers=2)


def test_every_batch_size_that_the_training_may_get_is_shared_by_its_workers() -> None:
    changes: dict[str, object] = {
        "tune__space": {**DEFAULT_SPACE, "batch_size": {"choices": [64, 66]}},
        "train__workers": 4,
    }
    numbers: dict[str, object] = {f"train__{name}": 1 for name in LOSS_NAMES}
    settings_with(**changes, **numbers)  # which takes nothing from the sweep
    with pytest.raises(InputError, match="got 66, expected a multiple of 4 workers"):
        settings_with(**changes, **{**numbers, "train__lambda_con": "sweep"})


@pytest.mark.parametrize(
    "changes",
    [{"preset": "best", "train__workers": 3}, {"preset": "paper", "tune__workers": 5}],
)
def test_workers_that_never_run_share_no_batch(changes: dict[str, object]) -> None:
    settings_with(**changes)


@pytest.mark.parametrize("name", ["method", "precision", "latent_score"])
def test_a_sweep_searches_numbers_only(name: str) -> None:
    with pytest.raises(InputError, match=f"tune.space: got '{name}', expected one of lambda_adv"):
        settings_with(tune__space={**DEFAULT_SPACE, name: {"choices": [1]}})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scans: {count: 120}", "scans: {cuont: 120}", "demo.scans.cuont: unknown parameter: did "),
        ("scans: {count: 120}", "scans: {count: 0}", "demo.scans.count: got 0, expected 1 or more"),
        ("scans: {count: 120}", "scans: 120", "demo: expected blocks of parameters"),
        ("  scans: {count: 120}", "  scnas: {count: 120}", "demo.scnas: unknown parameter: did yo"),
    ],
)
def test_a_wrong_value_of_a_preset_is_named_with_the_presets_file(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    presets = tmp_path / "presets.yaml"
    presets.write_text(PRESETS.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=rf"presets\.yaml: {message}"):
        load_settings(ROOT / "params.yaml", presets)


def test_every_css_colour_is_one_that_figures_take() -> None:
    assert settings_with(evaluate__normal_colour="#ABC").evaluate.normal_colour == "#ABC"
    for colour in ("steelblue", "#4c78a8", "#ABC", *colormap):
        require_colour("normal_colour", colour)
        assert is_color_like(colour)


def test_an_address_of_each_file_system_is_a_storage() -> None:
    for scheme in SCHEMES:
        address = f"{scheme}://bucket/folder?region=eu-north-1"
        assert settings_with(storage=address).storage == address


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
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is given twice: remove one$"),
        ("a: {no: normal, no: gun}", "line 1: the key 'no' is given twice: remove one$"),
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
    content = deepcopy(PARAMETERS)
    content["scans"]["classes"], content["model"]["learning_rate"] = classes, 2e-5
    (tmp_path / "params.yaml").write_text(yaml_text(content))
    shutil.copy(PRESETS, tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "README.md").touch()
    before = load_settings()
    main()
    Path("params.yaml").write_text(capsys.readouterr().out)
    assert load_settings() == before
    assert before.scans.classes == classes


def test_workers_by_number_or_by_range() -> None:
    changes: dict[str, object] = {"train__workers": {"min": 1, "max": 4}, "train__gpus": 0.5}
    train = settings_with(**changes, model__batch_size=48).train
    assert isinstance(train.workers, WorkerRange)
    assert list(train.workers.counts) == [1, 2, 3, 4]
    assert train.ray_resources == {"CPU": 1, "GPU": 0.5}


def settings_folder(folder: Path) -> Path:
    """A folder in which `python -m stages params` runs."""
    for name in ("params.yaml", "presets.yaml", "data/README.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_the_stage_params_prints_what_a_change_would_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(settings_folder(tmp_path))
    before = Path("params.yaml").read_bytes()
    main(["train.lambda_con=50", "+scans.classes={3: no}", "presets.yaml:demo.train.epochs=9"])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["train"]["lambda_con"], printed["train"]["lambda_adv"]) == (50, "sweep")
    assert printed["train"]["epochs"] == 9
    assert list(printed["scans"]["classes"]) == [3]
    assert Path("params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["train.lamda_con=50"], "params.yaml: train.lamda_con: unknown parameter: did you mean t"),
        (["+train.lamda_con=50"], "params.yaml: train.lamda_con: unknown parameter: did you mean"),
        (["preset=dmeo"], "params.yaml: preset: got 'dmeo', expected one of"),
        (["train.epochs=0"], "params.yaml: train.epochs: got 0, expected 1 or more"),
        (
            ["model.method=granulometry"],
            "presets.yaml: demo.tune.trials: got 4, expected 0, since granulometry trains nothing",
        ),
        (
            ["preset=best", "train.epochs=2"],
            "params.yaml: train.epochs: got 2, expected 0, since granulometry trains nothing",
        ),
        (["presets.yaml:demo.scans.count=0"], "presets.yaml: demo.scans.count: got 0, expected 1"),
        (["other.yaml:a=1"], "-S: got other.yaml, expected params.yaml or presets.yaml"),
        (["train.lambda_con"], "-S: got train.lambda_con: Error parsing override"),
        (["scans.classes={gun: gun}"], "-S: got scans.classes={gun: gun}: Could not override"),
        (["train.seed=1", "train.seed=2"], "-S: train.seed is given twice"),
        (["+tune.space={}", "~tune.space"], "-S: tune.space is given twice"),
        (["train.seed=range(1,3)"], "-S: got train.seed=range(1,3): several values, for `dvc exp"),
        (["train.lambda_con=1,2"], "-S: got train.lambda_con=1,2: several values, for `dvc exp"),
        (
            ["tune.space.lambda_adv={choices: [1]}"],
            "-S: got tune.space.lambda_adv={choices: [1]}: Error merging override "
            "tune.space.lambda_adv={choices: [1]}: Cannot merge DictConfig with ListConfig",
        ),
        (["train.seed=${x}"], "-S: got train.seed=${x}: "),
        (
            ["scans.source=yolo", "scans.folder=data/rw"],
            "params.yaml: scans.folder: got 'data/rw', expected a folder that exists",
        ),
        (
            ["screen.folder=data/nw"],
            "params.yaml: screen.folder: got 'data/nw', expected a folder that exists",
        ),
    ],
)
def test_the_stage_params_names_the_change_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: list[str], message: str
) -> None:
    monkeypatch.chdir(settings_folder(tmp_path))
    with pytest.raises(InputError) as error:
        main(changes)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", ["train.lambda_con=50", "+scans.classes={no: normal, 3: y}"])
def test_the_stage_params_changes_what_dvc_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = Path(shutil.copy(ROOT / "params.yaml", tmp_path))
    apply_overrides(path, [change])
    monkeypatch.chdir(ROOT)
    assert changed_settings([change]) == load_settings(path, PRESETS)


def test_bags_may_be_set_aside_to_teach_a_score_that_is_not_taught() -> None:
    taught = {"preset": "best", "scans__labelled_training": 0.1}
    assert settings_with(**taught).model.head == "none"
    assert settings_with(**taught, model__head="labelled").model.head == "labelled"
