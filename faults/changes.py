"""A parameter that is changed while a stage runs."""

import numpy as np

from faults.kills import check_end, check_refused, start_to_work
from faults.outcome import Outcome
from faults.project import Project

OTHER = {  # a parameter of each stage, and its other value
    "scans": ("seed", 1),
    "extract": ("min_foreground", 0.2),
    "tune": ("seed", 1),
    "train": ("seed", 1),
    "evaluate": ("seed", 1),
    "screen": ("false_alarm_rate", 0.1),
}


def changed(project: Project, outcome: Outcome, chance: np.random.Generator, name: str) -> None:
    """Change a parameter while the stage works; with the old value, a rerun finds the same."""
    running = start_to_work(project, outcome, chance, name)
    if running is None:
        return
    parameter, value = OTHER[name]
    project.change(name, **{parameter: value})
    if f"{name}: done in" in running.said():  # it has compared its parameters before the change
        outcome.hit = False
        running.wait()
        project.set_params()
        return
    check_refused(outcome, running, f"params.yaml: {name}: changed while the stage {name} ran")
    project.set_params()
    check_end(outcome, project, project.stage(name), project.undisturbed(name))
