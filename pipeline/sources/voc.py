"""Pascal VOC: ``JPEGImages/``, and in ``Annotations/`` an XML file per scan by the same name."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import parse
from supervision.dataset.formats.pascal_voc import detections_from_xml_obj

from pipeline.bad_input import BadInput, as_bad
from pipeline.errors import InputError
from pipeline.sources.base import Mask, ScanEntry
from pipeline.sources.detections import DetectionSource, Labels, check_reach, mask_of
from pipeline.sources.folders import find_files

IMAGES, ANNOTATIONS = "JPEGImages", "Annotations"


class VocSource(DetectionSource):
    """Boxes, and the polygons that some tools add to them. Pixels count from 1."""

    def labels(self, images: Sequence[Path]) -> tuple[dict[Path, Labels], list[BadInput]]:
        """Images pair with XML files by their path below the two folders."""
        files, bad = find_files(self.folder / ANNOTATIONS, (".xml",))
        waiting = {
            path.relative_to(self.folder / ANNOTATIONS).with_suffix(""): path for path in files
        }
        scans = {}
        for image in images:
            if not image.is_relative_to(self.folder / IMAGES):
                continue
            name = image.relative_to(self.folder / IMAGES).with_suffix("")
            path = waiting.pop(name, None)
            if path is None:
                bad.append(BadInput(str(image), f"no {ANNOTATIONS}/{name}.xml for it"))
                continue
            try:
                names = frozenset(_name(found) for found in _read(path))
            except InputError as error:
                bad.append(as_bad(path, error))
                continue
            scans[image] = Labels(names, (path,))
        bad += [BadInput(str(path), f"no image for it in {IMAGES}") for path in waiting.values()]
        return scans, bad

    def objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterator[tuple[str, Mask]]:
        """Each ``<object>`` by itself."""
        path = entry.files[1]
        for number, found in enumerate(_read(path), 1):
            alone = Element("annotation")
            alone.append(found)
            try:
                check_reach(
                    (float(corner.text or 0) for corner in found.iterfind("polygon/*")), size
                )
                yield _name(found), mask_of(detections_from_xml_obj(alone, [], size)[0], size)
            except (ValueError, TypeError, IndexError) as error:  # of a polygon without its corners
                raise InputError(f"{path}: object {number}: {error}") from None


def _read(path: Path) -> list[Element]:
    try:
        root = parse(path).getroot()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ParseError, ValueError) as error:  # ValueError: entities and what else defusedxml bars
        raise InputError(f"{path}: not XML that is read: {type(error).__name__}: {error}") from None
    if root is None or root.tag != "annotation":
        raise InputError(f"{path}: not Pascal VOC: expected an <annotation>")
    return list(root.findall("object"))


def _name(found: Element) -> str:
    return (found.findtext("name") or "").strip()
