"""Stages beside another Ray on the same machine: another user's, or one of the same user."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from faults.kills import check_end
from faults.outcome import Outcome
from faults.project import Project, kill_node, start_node

USER = 12345
# The other user may read all, since the Python of this machine may be in a folder of root's.
AS_USER = [
    "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
]  # fmt: skip


def beside(
    project: Project, outcome: Outcome, _chance: np.random.Generator, name: str, other_user: bool
) -> None:
    """Run a stage beside another Ray, which it neither joins nor speaks of."""
    expected = project.undisturbed(name)
    project.clean(name)
    with other_ray(project, AS_USER if other_user else []):
        running = project.stage(name)
        outcome.hit = True
        check_end(outcome, project, running, expected)
        said = running.said() + running.logged(name)
        outcome.check("multiple active Ray" not in said, "speaks of another Ray")


@contextmanager
def other_ray(project: Project, prefix: list[str]) -> Iterator[None]:
    """Start a head of Ray with its own folder for HOME and temporary files."""
    folder = project.temporary / "u"
    folder.mkdir(exist_ok=True)
    if prefix:
        os.chown(folder, USER, USER)
        project.temporary.chmod(0o711)
    command = [*prefix, "env", f"HOME={folder}", f"TMPDIR={folder}", f"RAY_TMPDIR={folder}"]
    command += [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    command += ["--port=0", "--num-cpus=1", "--include-dashboard=false"]
    node = start_node(command, project.folder.with_name("other-ray.txt"), folder)
    try:
        yield
    finally:
        kill_node(node)
        project.temporary.chmod(0o700)
        shutil.rmtree(folder)
