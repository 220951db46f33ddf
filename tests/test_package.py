"""What the project's files outside of its code say: package, citation, changes, page of plots."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from dvc_render.html import HTML

from tests.imports import OURS, ROOT, imported_names

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = (ROOT / ".dvc/plots/page.html").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def test_the_command_skipscan_runs_a_stage() -> None:
    module, _, name = PROJECT["scripts"]["skipscan"].partition(":")
    main = import_module(module)
    assert callable(getattr(main, name))
    parser = main.make_parser()
    for stage in ("scans", "extract", "tune", "train", "evaluate", "track"):
        assert parser.parse_args([stage]).stage == stage
    params = parser.parse_args(["params", "-S", "train.seed=1", "--set-param", "tune.seed=2"])
    assert params.changes == ["train.seed=1", "tune.seed=2"]
    screen = parser.parse_args(["screen", "mine", "--false-alarm-rate", "0.2"])
    assert (screen.path, screen.false_alarm_rate) == (Path("mine"), 0.2)
    assert (screen.model, screen.out) == ("results/train/model.pt", None)


def canonical(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


@pytest.mark.slow
def test_every_package_that_the_code_imports_is_declared() -> None:
    declared = {canonical(re.split(r"[^\w.-]", line)[0]) for line in PROJECT["dependencies"]}
    imported = {
        name.partition(".")[0]
        for folder in OURS
        for path in (ROOT / folder).rglob("*.py")
        for name in imported_names(path.relative_to(ROOT).as_posix())
    }
    providers = packages_distributions()
    for module in imported - sys.stdlib_module_names - set(OURS):
        packages = {canonical(package) for package in providers[module]}
        assert packages & declared, f"{module}: add one of {packages} to pyproject.toml"


def test_the_changes_and_the_citation_are_of_this_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert re.findall(r"^## (\S+)", changes, flags=re.M)[0] == PROJECT["version"]
    assert str(citation["version"]) == PROJECT["version"]
    assert "preferred-citation" not in citation  # GitHub would show it in place of this software
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == [
        "Akçay",
        "Atapour-Abarghouei",
        "Breckon",
    ]
    assert paper["year"] == 2019


def test_the_page_of_plots_takes_its_scripts_from_what_make_installs() -> None:
    config = (ROOT / ".dvc/config").read_text()
    assert "html_template = plots/page.html" in config
    assert "{plot_divs}" in PAGE
    page = HTML(PAGE).with_scripts("https://cdn.example").with_element("<b>plots</b>").embed()
    assert "<b>plots</b>" in page
    assert "cdn.example" not in page
    (script,) = re.findall(r'src="\.\./(.+?)"', PAGE)
    assert f" {script}\n" in MAKEFILE
    assert any("django-js-lib-vega-embed" in line for line in PROJECT["dependencies"])


def test_every_plot_has_titles_on_its_axes_and_a_template_that_exists() -> None:
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    drawn = [plot for entry in plots if isinstance(entry, dict) for plot in entry.values()]
    assert len(drawn) == 4
    for plot in drawn:
        assert plot["x_label"]
        assert plot["y_label"]
        own = Path(ROOT / ".dvc/plots" / f"{plot['template']}.json").exists()
        assert own or plot["template"] == "simple"


def test_make_mlflow_starts_one_worker_and_prints_the_runs_address() -> None:
    (recipe,) = re.findall(r"^mlflow: .+\n((?:\t.+\n|  .+\n)+)", MAKEFILE, flags=re.M)
    assert "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false" in recipe
    assert "--workers 1" in recipe
    assert "--port $(PORT)" in recipe
    assert "$(RUNS)" in recipe
    assert "experiments/1/runs?workflowType=machine_learning" in MAKEFILE


def test_make_mlflow_refers_to_the_server_that_has_the_runs() -> None:
    command = ["make", "--silent", "--no-print-directory", "--assume-old=.venv/ready", "mlflow"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stdout.endswith("MLFLOW_TRACKING_URI names: open it in a browser\n")


def test_recipes_of_make_write_bytecode_even_where_the_environment_forbids_it() -> None:
    probe = "probe: ; @printenv PYTHONDONTWRITEBYTECODE || true"
    forbidden = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = ["make", "--silent", "--no-print-directory", f"--eval={probe}", "probe"]
    done = subprocess.run(command, cwd=ROOT, env=forbidden, capture_output=True, check=True)
    assert not done.stdout
