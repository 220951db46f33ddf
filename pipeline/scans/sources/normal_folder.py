"""A folder of normal scans alone: images without labels, flat or in folders of any depth."""

from collections.abc import Iterable

from pipeline.scans.scan import Mask, ScanEntry
from pipeline.scans.sources.annotated_source import AnnotatedSource
from pipeline.scans.sources.labelled_set import LabelledSet


class NormalFolderSource(AnnotatedSource):
    """Every image is a normal scan, unless another file seems to hold its labels."""

    format_rule = "normal"

    def read_labels(self, labelled_set: LabelledSet) -> None:
        """Read no labels; count the images of each folder, so that the account names them."""
        for image in labelled_set.files.images:
            top, *below = image.relative_to(self.folder).parts
            if below:
                labelled_set.notes[f"images in {top}/"] += 1

    def objects(self, _: ScanEntry, __: tuple[int, int]) -> Iterable[tuple[str, Mask]]:
        """Return no objects."""
        return ()
