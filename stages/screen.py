"""`skipscan screen`: which new bags are suspicious, and where to look in them."""

import re
import tempfile
from argparse import Namespace
from importlib import import_module
from pathlib import Path

from pipeline.common import terminal
from pipeline.common.errors import InputError, require
from pipeline.common.files import file_digest
from pipeline.common.lines import printable
from pipeline.models.detector import TrainedModel
from pipeline.screening.records import TABLE
from pipeline.screening.screen import PAGE, screen

IN_MLFLOW = re.compile(r"models:/.+|(runs:/)?[0-9a-f]{32}")  # a registered model, or a run


def main(arguments: Namespace) -> None:
    """Screen the folder, and say what was found.

    Raises:
        InputError: the model or an argument is wrong, there is no image, or a file is bad: the
            other files are screened before.
    """
    rate = arguments.false_alarm_rate
    require(0 < rate < 1, "--false-alarm-rate", rate, "a share, more than 0 and less than 1")
    out = arguments.out
    with tempfile.TemporaryDirectory() as folder:
        path = model_file(arguments.model, Path(folder))
        model, digest = TrainedModel.load(path), file_digest(path)
    found = screen(arguments.given, model, digest, out, rate)
    alarms = found.alarms(rate)
    print(f"{len(alarms)} of {len(found.files)} bags raise an alarm", file=terminal.out())
    for file in alarms[:10]:
        print(f"  {file.file}: p-value {file.p_value:.3g}", file=terminal.out())
    if rate < found.least:
        bags = model.tails.bags.count
        print(
            f"no bag can raise an alarm at {rate:g}: the model's {bags} validation bags allow "
            f"{found.least:.3f} at the least: ask for more, or validate on more bags",
            file=terminal.err(),
        )
    if found.others:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in found.others.items())
        print(f"no images, and not looked at: {counts}", file=terminal.out())
    print(f"open {out / PAGE}; the table is {out / TABLE}", file=terminal.out())
    for bad in found.bad:
        print(printable(f"bad input: {bad.file}: {bad.reason}"), file=terminal.err())
    if found.bad:
        count = len(found.bad)
        raise InputError(
            f"{count} bad {'file' if count == 1 else 'files'}, named above; all others are "
            f"screened: mend or remove {'it' if count == 1 else 'them'}"
        )


def model_file(address: str, folder: Path) -> Path:
    """Return the file of the model; one that is in MLflow is downloaded into `folder`.

    Raises:
        InputError: MLflow has no such model.
    """
    if not IN_MLFLOW.fullmatch(address):
        return Path(address)
    registry = import_module("pipeline.tracking.registry")  # which takes seconds
    found: Path = registry.download_model(address, folder)
    return found
