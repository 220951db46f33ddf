"""The embedded scans on disk: a folder of PNG images and one COCO file; written and read back.

The masks are COCO's uncompressed run lengths, column by column, starting with the zeros.
"""

import json
import shutil
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from pipeline.errors import InputError
from pipeline.files import digest, write_whole
from pipeline.images import read_image
from pipeline.sources.base import Image, Listing, Mask, Region, Scan, ScanEntry, SetFiles
from pipeline.sources.embedded.generator import CYCLE, begin_scan, finish_scan

IMAGES = "images"
ANNOTATIONS = "annotations.json"
UNFINISHED = "unfinished-seed.txt"  # there while a run is on, or after it was killed
CLASSES = tuple(name for name in CYCLE if name is not None)

PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"

Record = dict[str, Any]  # one JSON object


def encode_mask(mask: Mask) -> Record:
    """Run lengths of a mask (H, W)."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    changes = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], changes, [mask.size]]))
    # A mask that ends in ones closes on a change at its end, which leaves an empty run.
    runs = counts[:-1] if len(changes) and changes[-1] == mask.size else counts
    return {"counts": runs.tolist(), "size": list(mask.shape)}


def decode_mask(segmentation: Record) -> Mask:
    """The mask (H, W) of run lengths.

    Raises:
        ValueError: the runs do not add up to the size.
    """
    counts, (height, width) = np.array(segmentation["counts"], dtype=np.int64), segmentation["size"]
    if counts.sum() != height * width or (counts < 0).any():
        raise ValueError(f"runs of {counts.sum()} pixels for a mask of {width}x{height}")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.ascontiguousarray(flat.reshape((height, width), order="F"))


def annotation(region: Region) -> Record:
    """One COCO annotation, but for its own and its image's id."""
    rows, columns = (np.flatnonzero(region.mask.any(axis=axis)) for axis in (1, 0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "category_id": CLASSES.index(region.class_name) + 1,
        "segmentation": encode_mask(region.mask),
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "area": int(region.mask.sum()),
        "iscrowd": 1,  # COCO's word for a mask in run lengths
    }


def write_scan(folder: Path, scan: Scan) -> Record:
    """Write a scan's image below `folder`; gives its `image` and its `annotations`."""
    _write_image(folder / IMAGES / f"{scan.scan_id}.png", scan.image)
    return _records(scan.scan_id, scan.image.shape[:2], scan.regions)


def write_annotations(folder: Path, records: Iterable[Record]) -> None:
    """Write the COCO file of all scans, of what `write_scan` gave, in order."""
    images: list[Record] = []
    annotations: list[Record] = []
    for number, record in enumerate(records, 1):
        images.append({"id": number, **record["image"]})
        for found in record["annotations"]:
            annotations.append({"id": len(annotations) + 1, "image_id": number, **found})
    categories = [{"id": index, "name": name} for index, name in enumerate(CLASSES, 1)]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    text = json.dumps(whole, separators=(",", ":")) + "\n"
    write_whole(folder / ANNOTATIONS, text.encode())


def generate(folder: Path, seed: int, count: int, workers: int | None = None) -> None:
    """Render scans 0 to `count` - 1 of `seed` into `folder`.

    The bytes do not depend on `workers`, the number of processes (all cores if None). Images that
    a killed run of the same seed left are kept; everything else there is replaced.
    """
    _prepare(folder, seed)
    one, numbers = partial(_generate_one, folder, seed), range(count)
    if workers == 1:
        _collect(folder, map(one, numbers), count)
    else:
        # Fresh processes, since a fork would copy OpenCV's threads in the middle of their work.
        with ProcessPoolExecutor(workers, get_context("spawn"), cv2.setNumThreads, (1,)) as pool:
            _collect(folder, pool.map(one, numbers, chunksize=4), count)
    (folder / UNFINISHED).unlink()


def _collect(folder: Path, records: Iterable[Record], count: int) -> None:
    write_annotations(folder, tqdm(records, "scans", count, unit="scan"))


def _prepare(folder: Path, seed: int) -> None:
    """Make the folder, and clear it unless what is there is an unfinished run of this seed."""
    marker = folder / UNFINISHED
    if not (marker.is_file() and marker.read_text() == str(seed)):
        shutil.rmtree(folder / IMAGES, ignore_errors=True)
    (folder / ANNOTATIONS).unlink(missing_ok=True)
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    marker.write_text(str(seed))


def _generate_one(folder: Path, seed: int, number: int) -> Record:
    """Render and write one scan; of an image already there only the regions are made again."""
    scene, regions = begin_scan(seed, number)
    scan_id = f"{number:05d}"
    path = folder / IMAGES / f"{scan_id}.png"
    if not _is_whole(path):
        _write_image(path, finish_scan(scene))
    return _records(scan_id, scene.depth.shape[1:], regions)


def _records(scan_id: str, shape: tuple[int, ...], regions: tuple[Region, ...]) -> Record:
    height, width = shape
    image = {"file_name": f"{scan_id}.png", "width": width, "height": height}
    return {"image": image, "annotations": [annotation(region) for region in regions]}


def _write_image(path: Path, image: Image) -> None:
    _, encoded = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 4])
    write_whole(path, encoded.tobytes())


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return False
    content = path.read_bytes()
    return content.startswith(PNG_START) and content.endswith(PNG_END)


class EmbeddedSource:
    """A folder that `generate` wrote."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._regions: dict[str, list[Record]] | None = None
        self._names: dict[int, str] = {}

    def meaning(self, name: str) -> str:
        """A class by its own name."""
        return name

    def listing(self) -> Listing:
        """Every scan of the folder, sorted by id.

        Raises:
            InputError: the folder or its COCO file is missing or broken.
        """
        entries = []
        for scan_id, found in sorted(self._read_annotations().items()):
            classes = tuple(sorted({self._names[item["category_id"]] for item in found}))
            path = self._folder / IMAGES / f"{scan_id}.png"
            entries.append(ScanEntry(scan_id, (path,), classes, records=digest(found)))
        annotations = self._folder / ANNOTATIONS
        images = [entry.files[0] for entry in entries]
        names = frozenset(name for entry in entries for name in entry.classes)
        files = SetFiles(self._folder, tuple(images), (annotations,))
        return Listing(files, entries, names=names, annotations=frozenset([annotations]))

    def read(self, entry: ScanEntry) -> Scan:
        """Read one scan.

        Raises:
            InputError: its image is missing or unreadable, or a mask does not fit it.
        """
        path = entry.files[0]
        image = read_image(path)
        regions = []
        for item in self._read_annotations()[entry.scan_id]:
            try:
                mask = decode_mask(item["segmentation"])
            except (KeyError, TypeError, ValueError) as error:
                raise self._bad(f"segmentation of {path.name}: {error}") from error
            if mask.shape != image.shape[:2]:
                raise self._bad(f"mask of {mask.shape} does not fit {path.name}, {image.shape[:2]}")
            regions.append(Region(self._names[item["category_id"]], mask))
        names = tuple(region.class_name for region in regions)
        return Scan(entry.scan_id, image, tuple(regions), names)

    def _read_annotations(self) -> dict[str, list[Record]]:
        """The annotations of each scan, by scan id; the COCO file is read once."""
        if self._regions is None:
            content = self._load()
            try:
                self._names = {int(item["id"]): item["name"] for item in content["categories"]}
                self._regions = self._group(content)
            except (KeyError, TypeError, AttributeError) as error:
                raise self._bad(f"not laid out as COCO ({error!r})") from error
        return self._regions

    def _load(self) -> Record:
        path = self._folder / ANNOTATIONS
        if not self._folder.is_dir():
            raise InputError(f"{self._folder}: no such folder, expected embedded scans: "
                             "run the scans stage")  # fmt: skip
        if not path.is_file():
            raise InputError(f"{path}: missing, expected beside {IMAGES}/: run the scans stage")
        try:
            content: Record = json.loads(path.read_bytes())
        except ValueError as error:
            raise self._bad(f"not JSON ({error})") from error
        return content

    def _group(self, content: Record) -> dict[str, list[Record]]:
        scan_ids: dict[int, str] = {}
        groups: dict[str, list[Record]] = {}
        for image in content["images"]:
            scan_id = Path(image["file_name"]).stem
            if image["id"] in scan_ids or scan_id in groups:
                raise self._bad(f"two images of one id, {image['id']} ({image['file_name']})")
            scan_ids[image["id"]] = scan_id
            groups[scan_id] = []
            if not (path := self._folder / IMAGES / image["file_name"]).is_file():
                raise InputError(f"{path}: missing, but listed in {ANNOTATIONS}: "
                                 "run the scans stage again")  # fmt: skip
        for item in content["annotations"]:
            if item["category_id"] not in self._names:
                raise self._bad(f"annotation of unknown category {item['category_id']}")
            if item["image_id"] not in scan_ids:
                raise self._bad(f"annotation of unknown image {item['image_id']}")
            groups[scan_ids[item["image_id"]]].append(item)
        return groups

    def _bad(self, what: str) -> InputError:
        path = self._folder / ANNOTATIONS
        return InputError(f"{path}: {what}, expected COCO as generated: run the scans stage again")
