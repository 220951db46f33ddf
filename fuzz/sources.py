"""The readers of scans and their labels."""

import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fuzz.target import Target
from pipeline.common.errors import InputError
from pipeline.scans.classes import ClassMap
from pipeline.scans.images import read_image
from pipeline.scans.scan import ScanSource
from pipeline.scans.sources.coco import CocoSource
from pipeline.scans.sources.labelme import LabelMeSource
from pipeline.scans.sources.voc import VocSource
from pipeline.scans.sources.yolo import YoloSource

CLASSES = ClassMap({"gun": "gun", "knife": "knife", "cup": "normal"})
WIDTH, HEIGHT = 24, 18
MEGABYTES = 64  # for labels; no reader of labels needs more for a file of 1 MB
CORNERS = [[2, 3], [12, 3], [12, 9], [2, 9]]
PNG_START = b"\x89PNG\r\n\x1a\n"


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _pixels(*channels: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, *channels), dtype=np.uint8)


def _images() -> list[bytes]:
    grey, colours = Image.fromarray(_pixels()), Image.fromarray(_pixels(3))
    deep = Image.fromarray(_pixels().astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    return [
        _encoded(grey, "PNG"),
        _encoded(deep, "PNG", exif=exif),
        _encoded(colours.quantize(16), "PNG", transparency=3),
        _encoded(Image.fromarray(_pixels(4)), "PNG"),
        _encoded(colours, "JPEG", quality=50, exif=exif),
        _encoded(grey, "JPEG", quality=50, progressive=True),
        _encoded(grey, "TIFF", save_all=True, append_images=[grey]),
        _encoded(deep, "TIFF"),
        _encoded(colours, "TIFF", compression="tiff_lzw"),
        _encoded(grey.convert("1"), "TIFF", compression="group4"),
        _encoded(colours, "BMP"),
        _encoded(colours.quantize(16), "BMP"),
    ]


def _with_checksums(content: bytes) -> bytes:
    """Return a PNG with right checksums; other files as they are."""
    if not content.startswith(PNG_START):
        return content
    mended, place = bytearray(content), len(PNG_START)
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4])
        mended[end : end + 4] = zlib.crc32(content[place + 4 : end]).to_bytes(4)
        place = end + 4
    return bytes(mended[: max(len(content), place)])


def _read_image(content: bytes, folder: Path) -> None:
    (folder / "a.png").write_bytes(content)
    read_image(folder / "a.png")


def _read_set(source: ScanSource, folder: Path, name: str, content: bytes) -> None:
    """Read a set of two images with a file of labels, as the stage `scans` does."""
    (folder / name).write_bytes(content)
    for image in ("a.png", "b.png"):
        (folder / image).write_bytes(PICTURE)
    listing = source.listing()
    for entry in listing.entries:
        source.read(entry)
    for bad in listing.bad:
        raise InputError(f"{bad.file}: {bad.reason}")


PICTURE = _encoded(Image.new("L", (WIDTH, HEIGHT)), "PNG")


def _coco() -> list[bytes]:
    def of(**annotation: Any) -> bytes:
        record = {"id": 1, "image_id": 1, "category_id": 2, "bbox": [2, 3, 10, 6], "area": 60.0}
        image = {"file_name": "a.png", "width": WIDTH, "height": HEIGHT}
        content = {
            "images": [{"id": 1, **image}, {"id": 2, "file_name": "b.png"}],
            "categories": [{"id": 2, "name": "gun"}, {"id": 3, "name": "cup"}],
            "annotations": [{**record, **annotation}],
        }
        return json.dumps(content).encode()

    lengths = {"counts": [10, 20, WIDTH * HEIGHT - 30], "size": [HEIGHT, WIDTH]}
    return [
        of(),
        of(segmentation=[[value for corner in CORNERS for value in corner]]),
        of(segmentation=lengths, bbox=[0, 0, 2, HEIGHT], iscrowd=1),
        of(segmentation={**lengths, "counts": ":d0b<"}, bbox=[0, 0, 2, HEIGHT], iscrowd=1),
    ]


def _voc() -> list[bytes]:
    box = "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>12</xmax><ymax>9</ymax></bndbox>"
    polygon = "".join(
        f"<x{number}>{x}</x{number}><y{number}>{y}</y{number}>"
        for number, (x, y) in enumerate(CORNERS, 1)
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    return [
        f"<annotation>{size}<object><name>gun</name>{inner}</object></annotation>".encode()
        for inner in (box, f"{box}<polygon>{polygon}</polygon>")
    ]


def _yolo() -> list[bytes]:
    return [
        b"0 0.5 0.5 0.2 0.3\n1 0.3 0.4 0.1 0.1\n",
        b"0 0.5 0.5 0.2 0.3 0.9 12\n",
        b"1 0.1 0.1 0.6 0.1 0.6 0.7 0.1 0.7\n",
    ]


def _yolo_names() -> list[bytes]:
    return [
        b"path: .\ntrain: images\nnames: [gun, cup]\nnc: 2\n",
        b"names:\n  0: gun\n  1: 'cup'\nkept: &a {b: [1, 2.5, 2020-01-02]}\nmore: *a\n",
    ]


def _labelme() -> list[bytes]:
    shapes = [
        {"label": "gun", "shape_type": "rectangle", "points": [[2, 3], [12, 9]]},
        {"label": "cup", "shape_type": "polygon", "points": CORNERS, "group_id": None},
    ]
    content = {"version": "5.0", "flags": {}, "shapes": shapes, "imagePath": "a.png"}
    sized = {**content, "imageWidth": WIDTH, "imageHeight": HEIGHT}
    return [json.dumps(content).encode(), json.dumps(sized).encode()]


def _read_coco(content: bytes, folder: Path) -> None:
    _read_set(CocoSource(folder, CLASSES), folder, "labels.json", content)


def _read_voc(content: bytes, folder: Path) -> None:
    _read_set(VocSource(folder, CLASSES, "normal"), folder, "a.xml", content)


def _read_yolo(content: bytes, folder: Path) -> None:
    (folder / "classes.txt").write_text("gun\ncup\n")
    _read_set(YoloSource(folder, CLASSES), folder, "a.txt", content)


def _read_yolo_names(content: bytes, folder: Path) -> None:
    (folder / "a.txt").write_text("0 0.5 0.5 0.2 0.3\n")
    _read_set(YoloSource(folder, CLASSES), folder, "data.yaml", content)


def _read_labelme(content: bytes, folder: Path) -> None:
    _read_set(LabelMeSource(folder, CLASSES, "normal"), folder, "a.json", content)


IMAGE = Target(_images, _read_image, 700, _with_checksums)
COCO = Target(_coco, _read_coco, MEGABYTES)
VOC = Target(_voc, _read_voc, MEGABYTES)
YOLO = Target(_yolo, _read_yolo, MEGABYTES)
YOLO_NAMES = Target(_yolo_names, _read_yolo_names, MEGABYTES)
LABELME = Target(_labelme, _read_labelme, MEGABYTES)
