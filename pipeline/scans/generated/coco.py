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
from pipeline.common.files import write_atomically
from pipeline.common.names import Image
from pipeline.common.processes import end_with_parent
from pipeline.scans.generated.generator import CYCLE, render_scan
from pipeline.scans.scan import Region, Scan

ANNOTATIONS = "annotations.json"
CLASSES = tuple(name for name in CYCLE if name is not None)

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


def generate(folder: Path, seed: int, count: int) -> None:
    """Render scans 0 to `count` - 1 of `seed` into `folder`, on all cores.

    The bytes do not depend on the number of cores. The folder is emptied first. A killed run leaves
    no COCO file.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    one = partial(_generate_one, folder, seed)
    # Spawned, since a fork would copy OpenCV's threads in the middle of their work.
    with ProcessPoolExecutor(None, get_context("spawn"), _begin_worker) as pool:
        records = pool.map(one, range(count), chunksize=4)
        write_annotations(folder, terminal.progress("scans", count, "scan", records))


def _begin_worker() -> None:
    end_with_parent()
    cv2.setNumThreads(1)


def _generate_one(folder: Path, seed: int, number: int) -> Record:
    """Render and write one scan, and return its `scan_records`."""
    scan = render_scan(seed, number)
    write_png(folder / f"{scan.scan_id}.png", scan.image)
    return scan_records(scan)


def scan_records(scan: Scan) -> Record:
    """Return a scan's COCO records `image` and `annotations`."""
    height, width = scan.image.shape[:2]
    image = {"file_name": f"{scan.scan_id}.png", "width": width, "height": height}
    return {"image": image, "annotations": [annotation(region) for region in scan.regions]}


def write_png(path: Path, image: Image) -> None:
    """Write an image, (H, W, 3) RGB uint8, completely or not at all."""
    _, encoded = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 4])
    write_atomically(path, encoded.tobytes())
