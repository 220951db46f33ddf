"""What holds of the project as a whole: the DAG's deps, the layers, and quiet imports."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import yaml

from pipeline import shard_cutting
from pipeline.models.interface import method_modules
from pipeline.models.registry import MethodName
from pipeline.training import DECIDING
from tests.imports import OURS, ROOT, import_closure, imported_names

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
OUR_FILES = sorted(p.relative_to(ROOT) for name in OURS for p in (ROOT / name).rglob("*.py"))
MODULES = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in OUR_FILES]
BARE = (
    "pipeline.models.interface",
    "pipeline.training",
    "pipeline.loading",
    "pipeline.patch_store",
    "pipeline.scoring",
    "pipeline.selection",
    "pipeline.evaluation",
    "pipeline.reference_protocol",
)
METHODS = get_args(MethodName)
# The modules of the sources, each of which is beside `shard_cutting.DECIDING` for its own shards.
SOURCES = sorted(
    {
        name.rpartition(".")[0]
        for name in imported_names("pipeline/sources/registry.py")
        if name.endswith("Source")
    }
    - {"pipeline.sources.base", "pipeline.sources.detections"}
)
ORCHESTRATION = ("ray", "mlflow", "dvc", "pydantic", "optuna")


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_are_the_import_closure(stage: str) -> None:
    declared = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    assert declared == import_closure(f"stages.{stage}") | import_closure("stages.__main__")


def test_stages_form_one_chain_in_order() -> None:
    assert list(STAGES) == ["scans", "extract", "tune", "train", "evaluate"]


def test_each_stage_depends_on_its_own_block() -> None:
    for stage, content in STAGES.items():
        assert stage in content["params"]


def test_a_training_is_keyed_by_the_code_that_decides_it() -> None:
    without_say = {"bad_input", "errors", "files", "checkpoints", "resources", "settings",
                   "splits", "base", "windows", "registry"}  # fmt: skip
    closure = {Path(path) for path in import_closure("pipeline.training")}
    deciding = {p for p in closure if p.stem not in {*without_say, "__init__"}}
    modules = {".".join(path.with_suffix("").parts) for path in deciding}
    of_methods = {module for method in METHODS for module in method_modules(method)}
    assert set(DECIDING) == modules - of_methods


@cache
def deciding_a_shard(source: str) -> set[str]:
    """The modules that cutting the shards of a source imports, but for those without a say."""
    without_say = {"bad_input", "bags", "base", "catalogue", "errors", "files", "splits"}
    listing = {
        "labelled_set",
        "pairing",
        "part_lists",
        "tables",
    }  # these find the files and classes of a scan's row
    paths = {Path(path) for path in import_closure("pipeline.shard_cutting")}
    paths |= {Path(path) for path in import_closure(source)}
    modules = {
        ".".join(path.with_suffix("").parts)
        for path in paths
        if path.stem not in {*without_say, *listing, "__init__"}
    }
    # What the other modules of the embedded source render are files that a row has digests of.
    return {name for name in modules if ".embedded." not in name or name == source}


@pytest.mark.parametrize("source", SOURCES)
def test_a_shard_is_keyed_by_the_code_that_decides_it(source: str) -> None:
    assert deciding_a_shard(source) <= {*shard_cutting.DECIDING, source}


def test_a_shard_is_keyed_by_no_other_code() -> None:
    assert set(shard_cutting.DECIDING) <= set().union(*map(deciding_a_shard, SOURCES))


def test_only_the_registry_and_a_method_s_own_folder_name_it() -> None:
    named = re.compile("|".join(METHODS))
    for path in OUR_FILES:
        inside = path.parent.name in METHODS or path.as_posix() == "pipeline/models/registry.py"
        assert inside or not named.search((ROOT / path).read_text(encoding="utf-8")), path


@pytest.mark.parametrize("method", get_args(MethodName))
def test_no_method_needs_another(method: str) -> None:
    for name in method_modules(method):
        for imported in imported_names(name.replace(".", "/") + ".py"):
            others = [other for other in METHODS if f"models.{other}." in imported]
            assert others in ([], [method])


@pytest.mark.parametrize("stage", ["scans", "extract", "tune", "train"])
def test_no_stage_but_evaluate_can_reach_the_test_part(stage: str) -> None:
    closure = import_closure(f"stages.{stage}")
    assert "pipeline/reference_protocol.py" not in closure
    if stage in ("tune", "train"):
        assert not any("pipeline.splits.TEST" in imported_names(path) for path in closure)


@pytest.mark.parametrize("module", BARE)
def test_the_core_imports_no_orchestration(module: str) -> None:
    for path in import_closure(module):
        for name in imported_names(path):
            assert name.split(".", maxsplit=1)[0] not in ORCHESTRATION, f"{path} imports {name}"


@pytest.mark.parametrize(
    ("library", "owners"),
    [
        ("h5py", {"pipeline/shards.py"}),
        ("mlflow", {"pipeline/tracking.py"}),
        ("ruamel", {"pipeline/files.py"}),
        (
            "ray",
            {
                f"pipeline/ray_{name}.py"
                for name in (
                    "checkpoints",
                    "cluster",
                    "extract",
                    "preflight",
                    "snapshots",
                    "train",
                    "trials",
                    "tune",
                )
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


def test_the_library_never_imports_the_stages() -> None:
    for path in OUR_FILES:
        if path.parts[0] == "pipeline":
            names = imported_names(str(path))
            assert not any(name.split(".", maxsplit=1)[0] == "stages" for name in names), path


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
