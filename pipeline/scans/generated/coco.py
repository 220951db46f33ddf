"""The generated scans on disk: a folder of PNG images and one COCO file, for the source `coco`.

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
from supervision.detection.utils.converters import mask_to_rle

from pipeline.common import terminal
from pipeline.common.files import code_digest, remove_unfinished, write_atomically
from pipeline.common.names import Image
from pipeline.common.processes import end_with_parent
from pipeline.scans.generated.generator import CYCLE, begin_scan, finish_scan
from pipeline.scans.image_limits import PNG_START
from pipeline.scans.scan import Region

ANNOTATIONS = "annotations.json"
RUN_KEY_FILE = "unfinished.txt"  # holds `run_key` during a run, and after a killed run
CLASSES = tuple(name for name in CYCLE if name is not None)

PNG_END = b"IEND\xaeB`\x82"

Record = dict[str, Any]  # one JSON object


def annotation(region: Region) -> Record:
    """Return a region's COCO annotation, without the ids of annotation and image."""
    return {
        "category_id": CLASSES.index(region.class_name) + 1,
        "segmentation": {"counts": mask_to_rle(region.mask), "size": list(region.mask.shape)},
        "bbox": list(cv2.boundingRect(region.mask.view(np.uint8))),
        "area": int(region.mask.sum()),
        "iscrowd": 1,  # in COCO, the mark of a mask in run lengths
    }


def write_annotations(folder: Path, records: Iterable[Record]) -> None:
    """Write the COCO file of all scans from the `scan_records` of each, in order."""
    images: list[Record] = []
    annotations: list[Record] = []
    for number, record in enumerate(records, 1):
        images.append({"id": number, **record["image"]})
        for fields in record["annotations"]:
            annotations.append({"id": len(annotations) + 1, "image_id": number, **fields})
    categories = [{"id": index, "name": name} for index, name in enumerate(CLASSES, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    text = json.dumps(content, separators=(",", ":")) + "\n"
    write_atomically(folder / ANNOTATIONS, text.encode())


def run_key(seed: int) -> str:
    """Return the seed and a digest of the generator's code, which decide every image."""
    return f"{seed} {code_digest([__package__])}"


def generate(folder: Path, seed: int, count: int, workers: int | None = None) -> None:
    """Render scans 0 to `count` - 1 of `seed` into `folder`.

    The bytes do not depend on `workers`, the number of processes (all cores if None). Images of
    a killed run with the same `run_key` are kept; all other files in `folder` are replaced.
    """
    _prepare(folder, seed)
    one, numbers = partial(_generate_one, folder, seed), range(count)
    if workers == 1:
        _collect(folder, map(one, numbers), count)
    else:
        # Spawned, since a fork would copy OpenCV's threads in the middle of their work.
        with ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker) as pool:
            _collect(folder, pool.map(one, numbers, chunksize=4), count)
    (folder / RUN_KEY_FILE).unlink()


def _begin_worker() -> None:
    end_with_parent()
    cv2.setNumThreads(1)


def _collect(folder: Path, records: Iterable[Record], count: int) -> None:
    write_annotations(folder, terminal.progress("scans", count, "scan", records))


def _prepare(folder: Path, seed: int) -> None:
    """Make the folder; clear it unless it holds an unfinished run of this seed and this code."""
    marker, key = folder / RUN_KEY_FILE, run_key(seed)
    if not (marker.is_file() and marker.read_text() == key):
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder)
    (folder / ANNOTATIONS).unlink(missing_ok=True)
    write_atomically(marker, key.encode())


def _generate_one(folder: Path, seed: int, number: int) -> Record:
    """Render and write one scan; if its image exists, only the regions are computed again."""
    scene, regions = begin_scan(seed, number)
    scan_id = f"{number:05d}"
    path = folder / f"{scan_id}.png"
    if not _is_complete_png(path):
        write_png(path, finish_scan(scene))
    return scan_records(scan_id, scene.depth.shape[1:], regions)


def scan_records(scan_id: str, shape: tuple[int, ...], regions: tuple[Region, ...]) -> Record:
    """Return a scan's COCO records `image` and `annotations`; `shape` of its image: (H, W)."""
    height, width = shape
    image = {"file_name": f"{scan_id}.png", "width": width, "height": height}
    return {"image": image, "annotations": [annotation(region) for region in regions]}


def write_png(path: Path, image: Image) -> None:
    """Write an image, (H, W, 3) RGB uint8, completely or not at all."""
    _, encoded = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 4])
    write_atomically(path, encoded.tobytes())


def _is_complete_png(path: Path) -> bool:
    if not path.is_file():
        return False
    content = path.read_bytes()
    return content.startswith(PNG_START) and content.endswith(PNG_END)
