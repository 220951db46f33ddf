"""Screens files and folders of new scans, for `skipscan screen` and for notebooks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.common.files import current_digest, remove_unfinished, write_json
from pipeline.models.trained_model import TrainedModel
from pipeline.pages.writer import file_data_url, write_page
from pipeline.scans.bad_input import BadInput
from pipeline.scans.scan import ScanSource
from pipeline.screening.file_screener import (
    PAGE_PARTS,
    FileScreener,
    pictures_of,
    remove_pictures,
)
from pipeline.screening.new_scans import (
    NewScan,
    NewScans,
    ScanJob,
    list_images,
    with_annotations,
    without_annotations,
)
from pipeline.screening.records import (
    Records,
    ScreenedFile,
    hits_text,
    prepare_results_folder,
    write_bags,
)
from pipeline.screening.regions import coco

REGIONS = "regions.json"
PAGE = "report.html"

ScreenMany = Callable[
    [TrainedModel, ScanSource | None, Path, Sequence[ScanJob]], Iterator[ScreenedFile]
]


@dataclass(frozen=True)
class Screening:
    """The result of screening a folder.

    Attributes:
        files: the screened files, the most suspicious bag first.
        bad: the files that were skipped, with the reason.
        others: number of files that are not looked at, by suffix or by reason.
    """

    files: list[ScreenedFile]
    bad: list[BadInput]
    others: Mapping[str, int]

    def alarms(self, false_alarm_rate: float) -> list[ScreenedFile]:
        """Return the files whose bag raises an alarm at a rate."""
        return [file for file in self.files if file.raises_alarm(false_alarm_rate)]


@dataclass(frozen=True)
class ScreeningOptions:
    """Options of a screening.

    Attributes:
        false_alarm_rate: a bag raises an alarm if its p-value is this or less.
        source: reads the scans with their annotations, for hits and misses; None without.
        parallel: screens many scans at once; None to screen them here, one by one.
        source_params: the parameters that decide how the source reads.
    """

    false_alarm_rate: float
    source: ScanSource | None = None
    parallel: ScreenMany | None = None
    source_params: Mapping[str, Any] = field(default_factory=dict)


class FolderScreener:
    """Screens an image, or all images below a folder, and writes the results into `out`.

    A scan whose line is in the records of `out` is not scored again, unless its file has changed.
    """

    def __init__(
        self,
        path: Path,
        model: TrainedModel,
        identity: Mapping[str, str],
        out: Path,
        options: ScreeningOptions,
    ) -> None:
        """Create `out`, or resume the screening in it.

        Args:
            path: an image, or a folder of scans.
            model: the trained model.
            identity: of `screening_identity`; `out` must have the same one, or be new.
            out: the folder of the results: bags.csv, heat maps, regions.json, report.html.
            options: the rate of alarms, annotations, workers.

        Raises:
            InputError: there is no such file or folder; `out` holds other results or files, or is
                below the folder of scans.
        """
        if not path.exists():
            raise InputError(
                f"{path}: no such file or folder: give an image, or a folder of images"
            )
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise InputError(
                f"{out}: inside of the folder of scans, where its pictures would be screened: "
                "choose a folder for the results that is not below it"
            )
        self.path, self.model, self.out, self.options = path, model, out, options
        self.root = path.parent if path.is_file() else path
        prepare_results_folder(out, identity)
        remove_unfinished(out)
        self.records = Records(out)
        self._here: FileScreener | None = None

    def screen(self, listed: NewScans | None = None) -> Screening:
        """Screen new and changed files, and write the table, the regions and the page.

        Args:
            listed: the scans; None for all that are there now.

        Raises:
            InputError: there is no image.
        """
        listed = self._listed() if listed is None else listed
        names = {scan.name for scan in listed.scans}
        with terminal.progress("screen", len(names), "bag") as shown:
            jobs = self._jobs(listed.scans)
            shown.update(len(names) - len(jobs))
            for file in self._each(jobs):
                self.records.add(file)
                shown.update()
        every = list(self.records)
        records = [file for file in every if file.file in names]
        screened = (file for file in records if not file.reason)
        files = sorted(screened, key=lambda file: (file.p_value, -file.score, file.file))
        refused = sorted((file for file in records if file.reason), key=lambda file: file.file)
        skipped = [ScreenedFile(self._name(bad), "", reason=bad.reason) for bad in listed.bad]
        bad = [BadInput(str(self.root / file.file), file.reason) for file in refused]
        screening = Screening(files, [*listed.bad, *bad], listed.others)
        self._write(screening, [*skipped, *refused])
        for name in {file.file for file in every} - {file.file for file in files}:
            remove_pictures(self.out, name)  # it has gone, or is bad now
        return screening

    def _listed(self) -> NewScans:
        if self.options.source:
            return with_annotations(self.path, self.options.source, self.options.source_params)
        return without_annotations(list_images(self.path))

    def _jobs(self, scans: Sequence[NewScan]) -> list[ScanJob]:
        """Return the scans that are new or have changed, or whose pictures have gone."""
        done = {
            (file.file, file.sha256, file.annotations) for file in self.records if not file.reason
        }
        jobs = []
        for scan in scans:
            sha256 = current_digest(scan.path)
            has_pictures = all(map(Path.exists, pictures_of(self.out, scan.name)))
            if not has_pictures or (scan.name, sha256, scan.annotations) not in done:
                jobs.append((scan, sha256))
        return jobs

    def _each(self, jobs: Sequence[ScanJob]) -> Iterator[ScreenedFile]:
        source, parallel = self.options.source, self.options.parallel
        if parallel and len(jobs) > 1:
            yield from parallel(self.model, source, self.out, jobs)
            return
        for scan, sha256 in jobs:
            self._here = self._here or FileScreener.of(self.model, source, self.out)
            yield self._here.screen(scan, sha256)

    def _write(self, screening: Screening, skipped: Sequence[ScreenedFile]) -> None:
        out, rate, files = self.out, self.options.false_alarm_rate, screening.files
        hits = [f"at a false-alarm rate of {rate:g}: {line}" for line in hits_text(files, rate)]
        write_bags(out, [*files, *skipped], rate)
        write_json(out / REGIONS, coco(files))
        write_page(
            out / PAGE,
            "screening.html",
            files=files,
            skipped=skipped,
            skipped_files=sum(bad.count for bad in screening.bad),
            rate=rate,
            lines=[*self.model.notes, *hits],
            data_url=lambda name: file_data_url(out / PAGE_PARTS / name),
        )

    def _name(self, bad: BadInput) -> str:
        """Return a bad file's path below the folder."""
        path = Path(bad.file)
        return (
            path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else bad.file
        )
