"""How `make mutants` makes a copy, chooses mutants and names their changes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import mutants
from benchmarks.mutants import SAMPLE, Tally, Workplace, change, chosen, sample, undecorated
from tests.imports import ROOT

DECORATED = '''
from functools import cache

class Box:
    def __init__(self, side):
        self.side = side

    @property
    def area(self):
        """Two lines"""
        return self.side ** 2

    @staticmethod
    def unit():
        return Box(1)

@cache
def half(x): return [x / 2]
'''


def test_decorators_do_the_same_below_a_function() -> None:
    plain = undecorated(DECORATED)
    assert re.findall(r"@\w+", plain) == ["@staticmethod"]
    names: dict[str, object] = {}
    exec(plain, names)  # noqa: S102
    box, half = names["Box"], names["half"]
    assert callable(box)
    assert callable(half)
    assert box(3).area == 9
    assert half(4) == [2]
    assert half(4) is half(4)


def test_modules_and_their_tests_are_there() -> None:
    for module, tests in mutants.read_modules().items():
        assert (ROOT / module).is_file(), module
        assert all((ROOT / test).is_file() for test in tests), module


def test_the_code_of_equivalent_mutants_is_there() -> None:
    modules = mutants.read_modules()
    for module, changed in mutants.read_equivalent():
        assert module in modules, changed
        line = changed.partition(" -> ")[0]
        assert without_space(line) in without_space((ROOT / module).read_text()), (module, line)


def without_space(text: str) -> str:
    return "".join(text.split())


def test_a_name_is_that_of_a_file_or_a_folder() -> None:
    assert list(chosen(["metrics"])) == ["pipeline/common/metrics.py"]
    assert "pipeline/models/methods/egbad/step.py" in chosen(["egbad"])
    assert "pipeline/models/methods/egbad/step.py" not in chosen(["losses"])
    with pytest.raises(SystemExit, match="steps: not a module"):
        chosen(["steps"])


def test_a_sample_is_the_same_each_time_and_in_order() -> None:
    names = [f"x{number}" for number in range(SAMPLE * 3)]
    found = sample(names)
    assert len(set(found)) == SAMPLE
    assert found == sample(names) == sorted(found, key=names.index)
    assert sample(names[:SAMPLE]) == names[:SAMPLE]


def test_a_change_is_the_lines_that_differ() -> None:
    before = ["def f(x):", "    if x:", "        return 1"]
    after = ["def f(x):", "    if not x:", "        return 1"]
    assert change(before, after) == "if x: -> if not x:"


def test_survivors_are_tried_again_when_their_tests_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "FOLDER", tmp_path / "work")
    (tmp_path / "test_a.py").write_text("assert True")
    workplace = Workplace("pipeline/a.py", ["test_a.py"])
    workplace.outcomes.parent.mkdir(parents=True)
    workplace.outcomes.write_text('{"exit_code_by_key": {"a": 1, "b": 0, "c": 33, "d": null}}')
    workplace.forget_old_tests()
    kept = '{"exit_code_by_key": {"a": 1, "b": 0, "c": 33, "d": null}}'
    workplace.outcomes.write_text(kept)
    workplace.forget_old_tests()  # nothing has changed
    assert workplace.outcomes.read_text() == kept
    (tmp_path / "test_a.py").write_text("assert 1")
    workplace.forget_old_tests()
    assert workplace.codes() == {"a": 1, "b": None, "c": None, "d": None}


def test_a_row_has_the_share_of_mutants_that_differ() -> None:
    tally = Tally("a.py", mutants=300, tried=100, killed=72, equivalent=20, survivors={"b": "c"})
    assert tally.row() == "| a.py | 300 | 100 | 72 | 20 | 1 | 90% |"


@pytest.mark.slow
def test_pytest_runs_with_the_plugin_for_mutants() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "benchmarks.mutants_plugin",
        "tests/test_lines.py",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
