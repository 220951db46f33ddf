"""Mutation testing: how many faults in the code do the fast tests miss?

mutmut changes one place of a module at a time (a mutant), in a copy of the project under
`work/mutants/`, and runs the test files that `mutants.toml` names for this module. A mutant is
killed if a test fails, and survives otherwise. For each survivor, either add a test, or give the
reason in `equivalent_mutants.toml` why the changed code does the same.

Error messages and code outside of functions are not mutated. For a module with more than `SAMPLE`
mutants, the command tries a fixed sample.

    python -m benchmarks.mutants [MODULE ...]    tries the untried mutants; prints the table
    python -m benchmarks.mutants --table         prints the table of all modules tried so far
"""

import argparse
import ast
import difflib
import json
import random
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "work" / "mutants"
SAMPLE = 60
SEED = 0
COPIED = (
    "pipeline", "stages", "tests", "benchmarks", "experiments", "faults", "fuzz", "docs", "deploy",
)  # fmt: skip
COPIED_FILES = ("params.yaml", "presets.yaml", "dvc.yaml", "README.md", "Makefile")
SETTINGS = """
[tool.mutmut]
source_paths = [{module}]
also_copy = {copied}
pytest_add_cli_args = ["-p", "benchmarks.mutants_plugin", "-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {tests}
do_not_mutate_patterns = ['raise \\w+']
process_isolation = "forkserver"  # torch does not survive a fork after it has computed
use_git_change_detection = false
timeout_multiplier = 5.0
timeout_constant = 3.0
"""
# Imports the slow libraries once, before mutmut forks. An optimiser imports torch._dynamo.
START = (
    "import cv2, h5py, matplotlib.pyplot, sklearn.metrics, torch._dynamo; "
    "from mutmut.__main__ import cli; cli()"
)
SURVIVED = (0, 5, 33)  # mutmut's codes: tests passed, none collected, none calls the function


@dataclass
class Tally:
    """The results of the mutants of one module.

    `survivors` has the change of each that no test killed and that is not equivalent, by name.
    """

    module: str
    mutants: int
    tried: int = 0
    killed: int = 0
    equivalent: int = 0
    survivors: dict[str, str] = field(default_factory=dict)

    def row(self) -> str:
        """Return the module's row of the table."""
        share = self.killed / (self.tried - self.equivalent or 1)
        return (
            f"| {self.module} | {self.mutants} | {self.tried} | {self.killed} | "
            f"{self.equivalent} | {len(self.survivors)} | {share:.0%} |"
        )


HEADER = """| module | mutants | tried | killed | equivalent | open | killed of those that differ |
|---|---|---|---|---|---|---|"""


def read_modules() -> dict[str, list[str]]:
    """Return the test files of each module, all relative to the project."""
    return tomllib.loads((ROOT / "benchmarks/mutants.toml").read_text(encoding="utf-8"))


def read_equivalent() -> set[tuple[str, str]]:
    """Return module and change of the mutants that were judged to do the same."""
    text = (ROOT / "benchmarks/equivalent_mutants.toml").read_text(encoding="utf-8")
    return {(row["module"], row["change"]) for row in tomllib.loads(text).get("mutant", [])}


def undecorated(source: str) -> str:
    """Return the source with each `@wrap` above `def f` as `f = wrap(f)` below it.

    mutmut leaves decorated functions out.
    """
    lines = source.splitlines()
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    for node in sorted(functions, key=lambda node: -node.lineno):
        wrappers = [ast.unparse(decorator) for decorator in node.decorator_list]
        if not wrappers or {"staticmethod", "classmethod", "overload"} & set(wrappers):
            continue
        wrapped = node.name
        for wrapper in reversed(wrappers):
            wrapped = f"{wrapper}({wrapped})"
        lines.insert(node.end_lineno or 0, f"{' ' * node.col_offset}{node.name} = {wrapped}")
        del lines[node.decorator_list[0].lineno - 1 : node.lineno - 1]
    return "\n".join(lines) + "\n"


class Workplace:
    """A copy of the project in which the mutants of one module are made and tried."""

    def __init__(self, module: str, tests: Sequence[str]) -> None:
        self.module = module
        self.tests = tests
        self.folder = FOLDER / module.removesuffix(".py").replace("/", ".")
        self.outcomes = self.folder / "mutants" / f"{module}.meta"

    def prepare(self) -> None:
        """Copy the project as it is now. The mutants of a module that has changed start anew."""
        source = undecorated((ROOT / self.module).read_text(encoding="utf-8"))
        copy = self.folder / self.module
        if copy.exists() and copy.read_text(encoding="utf-8") != source:
            shutil.rmtree(self.folder)
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, self.folder / name, dirs_exist_ok=True, ignore=ignored)
        for name in COPIED_FILES:
            shutil.copy2(ROOT / name, self.folder)
        copy.write_text(source, encoding="utf-8")
        settings = SETTINGS.format(
            module=json.dumps(self.module),
            tests=json.dumps(self.tests),
            copied=json.dumps([*COPIED, *COPIED_FILES]),
        )
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        (self.folder / "pyproject.toml").write_text(project + settings, encoding="utf-8")
        self.forget_old_tests()

    def forget_old_tests(self) -> None:
        """Let survivors be tried again if a test file has changed since they were tried."""
        digest = sha256(b"".join((ROOT / test).read_bytes() for test in self.tests)).hexdigest()
        kept = self.folder / "tests.sha256"
        if self.outcomes.exists() and (not kept.exists() or kept.read_text() != digest):
            outcomes = json.loads(self.outcomes.read_text(encoding="utf-8"))
            codes = outcomes["exit_code_by_key"]
            again = {name: None if code in SURVIVED else code for name, code in codes.items()}
            text = json.dumps(outcomes | {"exit_code_by_key": again})
            self.outcomes.write_text(text, encoding="utf-8")
            (self.folder / "mutants/mutmut-stats.json").unlink(missing_ok=True)
        kept.write_text(digest)

    def changes(self) -> dict[str, str]:
        """Return the changed lines of every mutant of the module, by its name, in order."""
        program = (
            "import json, sys; from pathlib import Path; "
            "from mutmut.mutation.file_mutation import mutate_file_contents as mutate; "
            "path = sys.argv[1]; made = mutate(path, Path(path).read_text('utf-8')); "
            "spans = made.line_span_by_function_name; "
            "print(json.dumps([made.code, made.mutant_names, "
            "{name: (span.start, span.end) for name, span in spans.items()}]))"
        )
        command = [sys.executable, "-c", program, self.module]
        shown = subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True)
        code, names, spans = json.loads(shown.stdout)
        lines = code.splitlines()

        def text(name: str) -> list[str]:
            start, end = spans[name]
            return [line.replace(name, "") for line in lines[start - 1 : end]]

        dotted = self.module.removesuffix(".py").replace("/", ".")
        return {
            f"{dotted}.{name}": change(
                text(f"{name.partition('__mutmut_')[0]}__mutmut_orig"), text(name)
            )
            for name in names
        }

    def codes(self) -> dict[str, int | None]:
        """Return mutmut's code of what became of each mutant that was made, by its name."""
        if not self.outcomes.exists():
            return {}
        codes: dict[str, int | None] = json.loads(self.outcomes.read_text())["exit_code_by_key"]
        return codes

    def run(self) -> None:
        """Try the mutants of the sample that were not tried yet."""
        self.prepare()
        codes = self.codes()
        pending = [name for name in sample(list(self.changes())) if codes.get(name) is None]
        if pending:
            print(f"{self.module}: {len(pending)} mutants", flush=True)
            command = [sys.executable, "-c", START, "run", "--max-children", "1", *pending]
            subprocess.run(command, cwd=self.folder, check=True, stdout=sys.stderr)

    def tally(self) -> Tally:
        """Return what became of the sample so far."""
        codes, changes, same = self.codes(), self.changes(), read_equivalent()
        tally = Tally(self.module, len(changes))
        for name in sample(list(changes)):
            if codes.get(name) is None:
                continue
            tally.tried += 1
            if codes[name] not in SURVIVED:
                tally.killed += 1
            elif (self.module, changes[name]) in same:
                tally.equivalent += 1
            else:
                tally.survivors[name] = changes[name]
        return tally


def sample(names: list[str]) -> list[str]:
    """Return all names, or `SAMPLE` of them, the same each time."""
    if len(names) <= SAMPLE:
        return names
    return sorted(random.Random(SEED).sample(names, SAMPLE), key=names.index)  # noqa: S311


def change(before: list[str], after: list[str]) -> str:
    """Return the changed lines as `before -> after`, without their indentation."""
    rows = list(difflib.ndiff(before, after))
    old, new = (" ".join(row[2:].strip() for row in rows if row[0] == sign) for sign in "-+")
    return f"{old} -> {new}"


def chosen(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the modules that have one of these names, as a file or a folder of their path."""
    modules = read_modules()
    if not names:
        return modules
    found = {
        module: tests
        for module, tests in modules.items()
        if set(names) & {module, *Path(module).with_suffix("").parts}
    }
    if not found:
        raise SystemExit(f"{' '.join(names)}: not a module of benchmarks/mutants.toml")
    return found


def main() -> None:
    """Try mutants, and print the table and the survivors."""
    parser = argparse.ArgumentParser()
    parser.add_argument("modules", nargs="*", help="such as metrics or egbad; default: all")
    parser.add_argument("--table", action="store_true", help="only print what was tried so far")
    arguments = parser.parse_args()
    tallies = []
    for module, tests in chosen(arguments.modules).items():
        workplace = Workplace(module, tests)
        if not arguments.table:
            workplace.run()
        if workplace.outcomes.exists():
            tallies.append(workplace.tally())
    print("\n".join([HEADER, *(tally.row() for tally in tallies)]))
    for tally in tallies:
        for name, changed in tally.survivors.items():
            print(f"\n{name}\n    {changed}")


if __name__ == "__main__":
    main()
