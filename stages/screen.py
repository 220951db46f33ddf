"""`skipscan screen`: which new bags are suspicious, and where to look in them."""

import re
import shutil
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.common import terminal
from pipeline.common.errors import InputError, require
from pipeline.common.files import file_digest, size_and_time, write_json
from pipeline.common.lines import escape_line
from pipeline.models.bag_scores import least_rate, rounded_up
from pipeline.models.trained_model import TrainedModel
from pipeline.scans.bad_input import count_in_words
from pipeline.scans.scan import ScanSource
from pipeline.scans.sources.folders import list_files
from pipeline.screening.folder_screener import (
    PAGE,
    FolderScreener,
    Screening,
    ScreeningOptions,
)
from pipeline.screening.new_scans import ScanJob, without_annotations
from pipeline.screening.records import (
    IDENTITY,
    NOTHING_SCREENED,
    TABLE,
    ScreenedFile,
    hits_text,
    holds_other_results,
    screening_identity,
)
from pipeline.settings.blocks import NO_FOLDER
from pipeline.settings.checks import require_rate
from pipeline.settings.params import load_settings, source_params
from stages.entry import MODEL, SCREENED, SCREENINGS, TRAINED, stage_log

IN_MLFLOW = re.compile(r"models:/.+|(runs:/)?[0-9a-f]{32}")  # a registered model, or a run
SHOWN_ALARMS = 10
WATCH_SECONDS = 2.0  # between two looks; a file that is the same in both is whole


def main() -> None:
    """Screen the scans in `screen.folder` with the model in results/train; write results/screen.

    Raises:
        InputError: the model or a parameter is wrong, there is no image, or, once all other files
            are screened, a file is bad.
    """
    settings = load_settings()
    screen = settings.screen
    if screen.folder == NO_FOLDER:
        shutil.rmtree(SCREENED, ignore_errors=True)
        SCREENED.mkdir(parents=True)
        write_json(SCREENED / IDENTITY, NOTHING_SCREENED)  # DVC warns of an output that is empty
        line = f"screen.folder is {NO_FOLDER}, no folder of new scans: nothing is screened"
        print(line, file=terminal.out())
        return
    path, folder = TRAINED / MODEL, Path(screen.folder)
    model, identity = TrainedModel.load(path), screening_identity(file_digest(path), folder)
    killed = not (SCREENED / IDENTITY).exists()  # before it was written
    if killed or holds_other_results(SCREENED, identity):
        shutil.rmtree(SCREENED, ignore_errors=True)
    options = options_of(
        folder, screen.false_alarm_rate, screen.annotations == "scans", screen.workers
    )
    warn_if_rate_too_low(model, screen.false_alarm_rate)
    finish(FolderScreener(folder, model, identity, SCREENED, options))


def screen_folder(arguments: Namespace) -> None:
    """Screen a folder, or an image, and say what was found; with `--watch`, do so until a signal.

    Raises:
        InputError: as in `main`, or the results' folder holds other results.
    """
    rate, path = arguments.false_alarm_rate, arguments.path
    require_rate("--false-alarm-rate", rate)
    require(arguments.workers >= 0, "--workers", arguments.workers, "0 or more")
    if arguments.watch and (arguments.annotated or arguments.workers):
        raise InputError("--watch: screens files one by one: leave out --annotated and --workers")
    options = options_of(path, rate, arguments.annotated, arguments.workers)
    if arguments.workers:
        terminal.send_output_to(stage_log("screen"))  # of Ray and its workers
    with tempfile.TemporaryDirectory() as folder:
        file = model_file(arguments.model, Path(folder))
        model, identity = TrainedModel.load(file), screening_identity(file_digest(file), path)
    warn_if_rate_too_low(model, rate)
    out = arguments.out or SCREENINGS / path.resolve().name
    screener = FolderScreener(path, model, identity, out, options)
    if arguments.watch:
        watch(screener)
    finish(screener)


def options_of(folder: Path, rate: float, annotated: bool, workers: int) -> ScreeningOptions:
    """Return the options of a screening; params.yaml tells the format of annotations."""
    source, params = None, dict[str, Any]()
    if annotated:
        require(
            folder.is_dir(), "the folder of annotated scans", str(folder), "a folder that exists"
        )
        registry = import_module("pipeline.scans.sources.registry")
        scans = load_settings().scans
        source, params = registry.open_folder(scans, folder), source_params(scans)
    if not workers:
        return ScreeningOptions(rate, source, source_params=params)
    # Of a run that was killed; Ray removes them at its start, but there may be no work left for it.
    import_module("pipeline.cluster.private_folder").remove_left_folders()
    return ScreeningOptions(rate, source, partial(on_ray, workers), params)


def on_ray(
    workers: int, model: TrainedModel, source: ScanSource | None, out: Path, jobs: Sequence[ScanJob]
) -> Iterator[ScreenedFile]:
    """Start Ray, whose import takes seconds, and screen the scans on it."""
    session = import_module("pipeline.cluster.session")
    screening = import_module("pipeline.screening.on_ray")
    with session.ray_session():
        yield from screening.screen_on_ray(model, source, out, jobs, workers)


def warn_if_rate_too_low(model: TrainedModel, rate: float) -> None:
    """Print a line if no bag can raise an alarm at `rate`, for lack of validation bags."""
    bags, least = model.tails.bags.count, least_rate(model.tails.bags.count)
    if rate < least:
        print(
            f"no bag can raise an alarm at the false-alarm rate {rate:g}: the model's {bags} "
            f"validation bags allow {rounded_up(least)} at the least: ask for a higher rate, or "
            "train again with more normal scans",
            file=terminal.err(),
        )


def finish(screener: FolderScreener) -> None:
    """Screen all files, and say what was found.

    Raises:
        InputError: there is no image, or a file is bad.
    """
    screening = screener.screen()
    print_results(screening, screener)
    if screening.bad:
        files, them = count_in_words(screening.bad)
        raise InputError(f"{files}, named above; all others are screened: mend or remove {them}")


def watch(screener: FolderScreener) -> None:
    """Screen files as they arrive, until a signal.

    A file is screened when its size and time are the same in two looks, so nothing writes to it.

    Raises:
        InputError: the folder has gone, or is a single file.
    """
    folder = screener.path
    print(f"watching {folder}; Ctrl-C ends it", file=terminal.err())
    before: dict[Path, tuple[int, int]] = {}
    screened: dict[Path, tuple[int, int]] = {}
    while True:
        require(folder.is_dir(), "--watch", str(folder), "a folder")
        listed = list_files(folder)
        files = [*listed.images, *(Path(bad.file) for bad in listed.bad)]
        now = {path: size_and_time(path) for path in files}
        finished = dict(now.items() & before.items())
        if finished != screened:
            images = tuple(path for path in listed.images if path in finished)
            bad = tuple(bad for bad in listed.bad if Path(bad.file) in finished)
            scans = without_annotations(replace(listed, images=images, bad=bad))
            print_results(screener.screen(scans), screener)
            screened = finished
        before = now
        time.sleep(WATCH_SECONDS)


def print_results(screening: Screening, screener: FolderScreener) -> None:
    """Print the alarms, what was not looked at, and the files with the results."""
    rate, out = screener.options.false_alarm_rate, screener.out
    alarms = screening.alarms(rate)
    print(f"{len(alarms)} of {len(screening.files)} bags raise an alarm", file=terminal.out())
    for file in alarms[:SHOWN_ALARMS]:
        print(escape_line(f"  {file.file}: p-value {file.p_value:.3g}"), file=terminal.out())
    if len(alarms) > SHOWN_ALARMS:
        print(f"  and {len(alarms) - SHOWN_ALARMS} more", file=terminal.out())
    for line in (*screener.model.notes, *hits_text(screening.files, rate)):
        print(line, file=terminal.out())
    if screening.others:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in screening.others.items())
        print(escape_line(f"not looked at: {counts}"), file=terminal.out())
    print(f"open {out / PAGE}; the table is {out / TABLE}", file=terminal.out())
    for bad in screening.bad:
        print(escape_line(f"bad input: {bad.file}: {bad.reason}"), file=terminal.err())


def model_file(model: str, folder: Path) -> Path:
    """Return the model's file; a model in MLflow is downloaded into `folder`.

    `model` is a file, a run's id, or a URI such as `models:/skipscan@champion`.

    Raises:
        InputError: MLflow has no such model.
    """
    if not IN_MLFLOW.fullmatch(model):
        return Path(model)
    registry = import_module("pipeline.tracking.registry")  # which takes seconds
    return registry.download_model(model, folder)
