"""Regions of high evidence as annotations of COCO, for annotation tools."""

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.screening.records import ScreenedFile, SuspiciousRegion

CATEGORY = {"id": 1, "name": "suspicious"}


def regions_over(evidence: NDArray[np.float32], threshold: float) -> list[SuspiciousRegion]:
    """Return the connected regions of (H, W) evidence over a threshold, the highest first."""
    over = (np.nan_to_num(evidence) > threshold).astype(np.uint8)
    outlines, _ = cv2.findContours(over, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    regions = []
    for outline in outlines:
        left, top, width, height = cv2.boundingRect(outline)
        inside = np.zeros((height, width), dtype=np.uint8)
        cv2.drawContours(inside, [outline - (left, top)], -1, 1, cv2.FILLED)
        box = evidence[top : top + height, left : left + width]
        highest = float(np.nanmax(box[inside > 0]))
        points = [int(value) for value in outline.ravel()]
        # COCO's readers refuse polygons of less than three points.
        if len(points) >= 6:
            area = int(inside.sum())
            regions.append(SuspiciousRegion((left, top, width, height), points, area, highest))
    return sorted(regions, key=lambda region: -region.evidence)


def coco(files: Iterable[ScreenedFile]) -> dict[str, Any]:
    """Return the regions of all screened files as the content of a COCO file.

    The score of an annotation is its highest evidence, -log10 p.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, file in enumerate((f for f in files if not f.reason), 1):
        images.append(
            {"id": number, "file_name": file.file, "width": file.width, "height": file.height}
        )
        for region in file.regions:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": CATEGORY["id"],
                    "bbox": list(region.box),
                    "area": region.area,
                    "segmentation": [region.outline],
                    "iscrowd": 0,
                    "score": region.evidence,
                }
            )
    return {"images": images, "annotations": annotations, "categories": [CATEGORY]}
