"""Every target, by the name that the command line gives it."""

from fuzz import parameters, pipeline_files, sources
from fuzz.target import Target

TARGETS: dict[str, Target] = {
    "image": sources.IMAGE,
    "coco": sources.COCO,
    "voc": sources.VOC,
    "yolo": sources.YOLO,
    "yolo-names": sources.YOLO_NAMES,
    "labelme": sources.LABELME,
    "params": parameters.PARAMS,
    "shard": pipeline_files.SHARD,
    "manifest": pipeline_files.MANIFESTS,
    "catalogue": pipeline_files.CATALOGUES,
    "best": pipeline_files.BESTS,
    "model": pipeline_files.MODEL,
    "checkpoint": pipeline_files.CHECKPOINTS,
}
