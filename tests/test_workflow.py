"""What holds of the project as a whole: the DAG's deps, the layers, and quiet imports."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import yaml

from pipeline.patches import cutting
from pipeline.screening import records
from pipeline.settings.methods import MethodName
from pipeline.training.loop import DECIDING
from tests.imports import ORCHESTRATION, OURS, ROOT, import_closure, imported_names, module_file

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
OUR_FILES = sorted(p.relative_to(ROOT) for name in OURS for p in (ROOT / name).rglob("*.py"))
MODULES = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in OUR_FILES]
BARE = (
    "pipeline.models.interface",
    "pipeline.training.loop",
    "pipeline.patches.batches",
    "pipeline.patches.store",
    "pipeline.models.detector",
    "pipeline.models.trained_model",
    "pipeline.training.criterion",
    "pipeline.evaluation.scores",
)
METHODS = get_args(MethodName)
# The modules of the sources, each of which is beside `cutting.DECIDING` for its own shards.
SOURCES = sorted(
    {
        name.rpartition(".")[0]
        for name in imported_names("pipeline/scans/sources/registry.py")
        if name.endswith("Source")
    }
    - {"pipeline.scans.scan", "pipeline.scans.sources.annotated_source"}
)
BASE = {"common", "settings"}
LEARNING = {*BASE, "patches", "models", "cluster", "tracking"}
# The packages of `pipeline` in the order of the DAG, and what each may import.
MAY_IMPORT = {
    "common": set[str](),
    "settings": {"common"},
    "cluster": BASE,
    "tracking": BASE,
    "scans": BASE,
    "models": BASE,
    "patches": {*BASE, "scans", "cluster"},
    "training": LEARNING,
    "pages": {"common"},
    "sweeps": {*LEARNING, "training", "pages"},
    "screening": {*BASE, "scans", "patches", "models", "pages", "cluster"},
    "serving": {*BASE, "scans", "patches", "models", "pages", "screening"},
    "evaluation": {*BASE, "scans", "patches", "models", "pages", "screening"},
}


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_are_the_packages_of_the_import_closure(stage: str) -> None:
    made = ("data/", "results/", "${scans.folder}", "${screen.folder}")
    deps = STAGES[stage]["deps"]
    assert len(deps) == len(set(deps))
    declared = {dep for dep in deps if not dep.startswith(made)}
    closure = import_closure(f"stages.{stage}") | import_closure("stages.__main__")
    assert declared == {"/".join(path.split("/")[:2]) for path in closure}


def test_an_edit_to_scans_or_figures_does_not_train_anew() -> None:
    for stage in ("tune", "train"):
        assert not {"pipeline/scans", "pipeline/evaluation"} & set(STAGES[stage]["deps"])


def test_stages_form_one_chain_in_order() -> None:
    assert list(STAGES) == ["scans", "extract", "tune", "train", "evaluate", "screen"]


def test_each_stage_depends_on_its_own_block() -> None:
    for stage, content in STAGES.items():
        assert stage in content["params"]


def test_a_training_is_keyed_by_the_packages_that_decide_it() -> None:
    closure = import_closure("pipeline.training.loop")
    packages = {".".join(path.split("/")[:2]) for path in closure} - {"pipeline.__init__.py"}
    assert set(DECIDING) == packages - {"pipeline.settings"}  # whose values are in the key


@cache
def deciding_a_shard(source: str) -> set[str]:
    """The modules that cutting the shards of a source imports, but for those without a say."""
    without_say = {"bad_input", "bags", "catalogue", "errors", "files", "lines", "names",
                   "kept_windows", "nesting", "processes", "json_records", "scan", "splits",
                   "terminal"}  # fmt: skip
    # These find the files and classes of a scan's row.
    listing = {"labelled_set", "pairing", "part_lists", "threat_tables", "unlabelled"}
    paths = {Path(path) for path in import_closure("pipeline.patches.cutting")}
    paths |= {Path(path) for path in import_closure(source)}
    modules = {
        ".".join(path.with_suffix("").parts)
        for path in paths
        if path.stem not in {*without_say, *listing, "__init__"} and "settings" not in path.parts
    }
    # What the other modules of the generated scans render are files that a row has digests of.
    return {name for name in modules if ".generated." not in name or name == source}


@pytest.mark.parametrize("source", SOURCES)
def test_a_shard_is_keyed_by_the_code_that_decides_it(source: str) -> None:
    assert deciding_a_shard(source) <= {*cutting.DECIDING, source}


def test_a_shard_is_keyed_by_no_other_code() -> None:
    assert set(cutting.DECIDING) <= set().union(*map(deciding_a_shard, SOURCES))


def test_a_screening_is_keyed_by_the_code_that_decides_it() -> None:
    without_say = {"errors", "files", "lines", "names", "kept_windows", "nesting", "processes",
                   "terminal", "__init__"}  # fmt: skip
    paths = [Path(path) for path in import_closure("pipeline.screening.file_screener")]
    modules = {
        ".".join(path.with_suffix("").parts)
        for path in paths
        if path.stem not in without_say and "settings" not in path.parts  # these the model has
    } - {"pipeline.common.json_records"}
    assert {name for name in modules if not name.startswith(records.DECIDING)} == set()
    assert all(any(name.startswith(one) for name in modules) for one in records.DECIDING)


def test_only_the_settings_and_a_method_s_own_folder_name_it() -> None:
    named = re.compile("|".join(METHODS))
    for path in OUR_FILES:
        inside = path.parent.name in METHODS or path.as_posix() == "pipeline/settings/methods.py"
        assert inside or not named.search((ROOT / path).read_text(encoding="utf-8")), path


@pytest.mark.parametrize("method", METHODS)
def test_no_method_needs_another(method: str) -> None:
    for path in (ROOT / "pipeline/models/methods" / method).glob("*.py"):
        for imported in imported_names(path.relative_to(ROOT).as_posix()):
            others = [other for other in METHODS if f"methods.{other}." in imported]
            assert others in ([], [method])


@pytest.mark.parametrize("stage", ["tune", "train"])
def test_no_stage_that_learns_can_reach_the_test_part(stage: str) -> None:
    for path in import_closure(f"stages.{stage}"):
        assert "pipeline.common.names.TEST" not in imported_names(path), path


@pytest.mark.parametrize("module", BARE)
def test_the_core_imports_no_orchestration(module: str) -> None:
    for path in import_closure(module):
        for name in imported_names(path):
            assert name.split(".", maxsplit=1)[0] not in ORCHESTRATION, f"{path} imports {name}"


@pytest.mark.parametrize(
    ("library", "owners"),
    [
        ("h5py", {"pipeline/patches/shard_file.py"}),
        (
            "mlflow",
            {
                "pipeline/serving/load.py",
                "pipeline/serving/scan_model.py",
                "pipeline/tracking/registry.py",
                "pipeline/tracking/tracked_run.py",
                "pipeline/tracking/tracker.py",
            },
        ),
        ("ruamel", {"pipeline/common/files.py", "pipeline/common/nesting.py"}),
        ("dvc", {"stages/params.py"}),
        (
            "ray",
            {
                "pipeline/cluster/preflight.py",
                "pipeline/cluster/session.py",
                "pipeline/cluster/tasks.py",
                "pipeline/patches/extract_on_ray.py",
                "pipeline/sweeps/snapshots.py",
                "pipeline/sweeps/trainable.py",
                "pipeline/sweeps/trials.py",
                "pipeline/sweeps/tune.py",
                "pipeline/training/log_curves.py",
                "pipeline/training/on_ray.py",
                "pipeline/training/ray_checkpoints.py",
            },
        ),
    ],
)
def test_libraries_with_one_owner(library: str, owners: set[str]) -> None:
    importing = {
        path.as_posix()
        for path in OUR_FILES
        if any(name.split(".", maxsplit=1)[0] == library for name in imported_names(str(path)))
    }
    assert importing == owners


@pytest.mark.parametrize("module", ["pipeline.training.on_ray", "pipeline.sweeps.trainable"])
def test_workers_import_no_library_that_they_have_no_use_for(module: str) -> None:
    """Each worker and each trial is a process, which would spend seconds on it."""
    needless = {"matplotlib", "mlflow", "optuna", "scipy", "sklearn"}
    for path in import_closure(module):
        assert not needless & {name.split(".")[0] for name in imported_names(path)}, path


def package_of(name: str) -> str:
    """The package below `pipeline` of a module, by its dotted name or its file; "" for others."""
    parts = name.replace("/", ".").split(".")
    return parts[1] if parts[0] == "pipeline" and parts[1:] else ""


def arrows() -> list[tuple[str, str]]:
    """The packages below `pipeline` of each import from one into another."""
    found = []
    for path in OUR_FILES:
        here = package_of(path.as_posix())
        imported = {file for name in imported_names(path.as_posix()) if (file := module_file(name))}
        there = (package_of(file) for file in imported if not file.endswith("__init__.py"))
        found += [(here, other) for other in there if here in MAY_IMPORT and other != here]
    return found


def test_packages_import_only_those_that_they_may() -> None:
    packages = {path.parts[1] for path in OUR_FILES if len(path.parts) > 2}
    assert packages == MAY_IMPORT.keys()
    for here, there in arrows():
        assert there in MAY_IMPORT[here], f"pipeline.{here} imports pipeline.{there}"


def test_nothing_imports_a_package_that_stands_after_it() -> None:
    order = list(MAY_IMPORT)
    for name, allowed in MAY_IMPORT.items():
        assert all(order.index(other) < order.index(name) for other in allowed)


def test_a_package_says_what_it_may_import() -> None:
    for name, allowed in MAY_IMPORT.items():
        text = (ROOT / "pipeline" / name / "__init__.py").read_text(encoding="utf-8")
        said = re.search(r"May import: (.+)\.", text)
        assert said is not None, name
        assert set(re.findall(r"\w+", said[1])) - {"nothing"} == allowed, name


def test_the_product_imports_neither_stages_nor_studies() -> None:
    above = {"experiments", "benchmarks", "faults", "fuzz", "tests"}
    for path in OUR_FILES:
        roots = {name.split(".", maxsplit=1)[0] for name in imported_names(path.as_posix())}
        assert not roots & (above if path.parts[0] == "stages" else {*above, "stages"}), path


@pytest.mark.slow  # it imports all that there is, in a process of its own
def test_importing_anything_writes_and_prints_nothing(tmp_path: Path) -> None:
    code = "; ".join(f"import {module}" for module in MODULES)
    found = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
