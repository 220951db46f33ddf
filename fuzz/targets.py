"""Every target, by the name that the command line gives it."""

from fuzz import parameters, sources
from fuzz.target import Target

TARGETS: dict[str, Target] = {
    "image": sources.IMAGE,
    "coco": sources.COCO,
    "voc": sources.VOC,
    "yolo": sources.YOLO,
    "yolo-names": sources.YOLO_NAMES,
    "labelme": sources.LABELME,
    "params": parameters.PARAMS,
}
