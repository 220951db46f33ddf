"""With `scans.bad_input: skip` or unusual files, an image whose labels may be lost is no normal."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.common.errors import InputError
from tests.sources.sets import (
    GUN,
    GUN_XML,
    NAMES,
    NORMALS,
    PICTURES,
    Content,
    Stage,
    coco,
    in_folder,
    write_set,
    xml,
)

BASE: dict[str, Content] = {
    **in_folder("images"), "images/a.png": None, "labels/a.txt": GUN, "data.yaml": NAMES,
    **{f"labels/{name}.txt": "" for name in NORMALS},
}  # fmt: skip


@pytest.mark.parametrize(
    "files",
    [
        {"images/IMG_1.JPG": None, "labels/img_1.txt": GUN},
        {"images/b.jpg": None, "labels/b.jpg.txt": GUN},
        {"images/train/b.png": None, "labels/b.txt": GUN},
        {"data/b.png": None, "truth/b.txt": GUN},
        {"train/data/b.png": None, "train/truth/b.txt": GUN,
         "test/data/b.png": None, "test/truth/b.txt": GUN},
    ],
)  # fmt: skip
def test_labels_of_nearly_the_same_name_are_an_image_s(
    stage: Stage, files: Mapping[str, Content]
) -> None:
    found = stage({**BASE, **files})
    images = {str(Path(name).with_suffix("")) for name, content in files.items() if content is None}
    assert found.threats() == {*images, "images/a"}


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ({"images/P1_OL.png": None, "images/P1_SD.png": None, "labels/P1.txt": GUN}, "yolo"),
        ({"images/b.png": None, "labels.zip": b"PK"}, "yolo"),
        ({"images/b.png": None, "labels/b.json": '{"shapes": [{}]}'}, "yolo"),
        ({"images/b.png": None, "boxes.csv": "file,xmin,class\nb.png,3,gun\n"}, "yolo"),
        ({"images/b.png": None, "truth.dvc": "outs:"}, "yolo"),
        ({"images/x/b.png": None, "images/y/b.png": None, "labels/b.txt": GUN}, "yolo"),
        ({"images_high/a.png": None}, "yolo"),
    ],
)
def test_images_whose_labels_may_be_lost_are_left_out(
    stage: Stage, files: Mapping[str, Content], source: str
) -> None:
    with pytest.raises(InputError, match=r"bad files?, named above"):
        stage({**BASE, **files}, source=source)
    found = stage({}, source=source, bad_input="skip")
    assert found.classes() == {"images/a": ("gun",), **{f"images/{name}": () for name in NORMALS}}


SHAPES = '{"shapes": [{"label": "gun", "points": [[10, 5], [29, 5], [29, 19]]}]}'
JSON_FORMS = (
    '{"boxes": [[10, 5, 30, 20]], "labels": [1]}',
    '{"ann": {"bboxes": [[10, 5, 30, 20]]}}',
    '{"bounding_boxes": [[10, 5, 30, 20]]}',
    '{"annotation": {"object": [{"name": "gun"}]}}',
    '{"instances": [{"label": "gun"}]}',
    '{"predictions": [{"class": "gun"}]}',
    '{"polygons": [[[10, 5], [30, 5], [30, 20]]]}',
)
BOX_TABLE = "class,xmin,ymin,xmax,ymax\ngun,10,5,30,20\n"
LISTED = {"a.json": coco(PICTURES[1:], {})}


@pytest.mark.parametrize(
    ("source", "files", "scans"),
    [
        ("folder", {"annotations/normal0.csv": BOX_TABLE}, {}),
        ("folder", {"images/normal0.csv": BOX_TABLE}, {}),
        ("folder", {"labels/normal0.mat": b"MATLAB"}, {}),
        ("folder", {"labels/normal0.txt": "gun"}, {}),
        ("folder", {"labels.txt": "normal0.png gun\n"}, {}),
        ("folder", {"train.txt": "normal0.png 1\nnormal1.png 0\n"}, {}),
        *(("folder", {"labels/normal0.json": text}, {}) for text in JSON_FORMS),
        ("yolo", {"images/normal0.csv": BOX_TABLE}, {}),
        ("yolo", {"labels.txt": "normal0.png gun\n"}, {"classes": {"*": "*"}}),
        ("voc", {"Annotations/normal0.csv": BOX_TABLE}, {"unannotated": "normal"}),
        ("coco", {**LISTED, "images/normal0.json": SHAPES}, {"unannotated": "normal"}),
    ],
)
def test_an_image_whose_labels_are_in_another_format_is_left_out(
    stage: Stage, source: str, files: Mapping[str, Content], scans: Mapping[str, Any]
) -> None:
    found = stage({**in_folder("images"), **files}, source=source, bad_input="skip",
                  **{"classes": {}, **scans})  # fmt: skip
    assert set(found.rows) == {f"images/{name}" for name in NORMALS[1:]}


@pytest.mark.parametrize(
    "mask", ["images/normal0-mask.png", "mask_normal0.png", "images/normal0_seg.png",
             "seg/normal0.png", "segmentations/normal0.png"],
)  # fmt: skip
def test_usual_names_of_masks_are_known(stage: Stage, mask: str) -> None:
    files = {**in_folder("images"), mask: None, "images/mask_of_lane.png": None}
    found = stage(files, source="folder", classes={}, bad_input="skip")
    names = {"images/mask_of_lane", *(f"images/{name}" for name in NORMALS[1:])}
    assert set(found.rows) == names
    assert "ignored: 1 .png: a mask, which this format does not read" in found.account


def test_images_in_a_folder_called_segmentation_are_no_masks_of_themselves(stage: Stage) -> None:
    found = stage(in_folder("segmentation"), source="folder", classes={})
    assert len(found.rows) == 8


def test_a_copy_of_a_scan_with_labels_beside_it_is_left_out(stage: Stage) -> None:
    files = {"scans/c.png": None, "scans/c.txt": GUN, "jpg/c.png": None}
    found = stage({**BASE, **files}, bad_input="skip")
    assert found.classes()["scans/c"] == ("gun",)
    assert "jpg/c" not in found.rows


def test_images_below_a_link_that_leads_nowhere_are_left_out(stage: Stage, tmp_path: Path) -> None:
    write_set(stage.folder, {**BASE, "images/b.png": None, "more/images/c.png": None})
    (stage.folder / "labels" / "b.txt").symlink_to(tmp_path / "0a" / ("1" * 30))
    (stage.folder / "more" / "labels").symlink_to(tmp_path)
    found = stage({}, bad_input="skip")
    assert len(found.rows) == 9


def test_a_table_names_every_image_of_a_name(stage: Stage) -> None:
    files = {**in_folder("images"), "low/P2.png": None, "high/P2.png": None, "low/P3.png": None,
             "list.csv": "P2.png,gun\nP3.png,normal\n"}  # fmt: skip
    found = stage(files, source="folder", classes={}, bad_input="skip")
    assert set(found.rows) == {"low/P3", *(f"images/{name}" for name in NORMALS)}


SIXRAY_LIST = "name,Gun,Knife\nP2,1,-1\nnormal0,-1,-1\nP1,1,-1\n"


def test_images_that_a_list_of_classes_calls_threats_are_no_normals(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {**in_folder("JPEGImage"), "JPEGImage/P1.jpg": None, "Annotation/P1.xml": GUN_XML,
             "JPEGImage/P2.jpg": None, "ImageSet/10/train.csv": SIXRAY_LIST}  # fmt: skip
    with pytest.raises(InputError, match="1 bad file"):
        stage(files, source="voc", unannotated="normal")
    text = capsys.readouterr().err
    assert "set/JPEGImage/P2.jpg: no labels were read, but set/ImageSet/10/train.csv" in text
    found = stage({}, source="voc", unannotated="normal", bad_input="skip")
    assert len(found.rows) == 9


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("yolo", {"annotations/instances.json": coco(["normal0.png"], {"normal0.png": {}})}),
        ("yolo", {"labels.zip": b"PK"}),
        ("yolo", {"truth/x_a.txt": "0.0 0.4 0.3 0.4 0.3", "data.yaml": NAMES}),
        ("yolo", {"truth/x_a.txt": "gun 0.4 0.3 0.4 0.3", "data.yaml": NAMES}),
        ("voc", {"Annotations.zip": b"PK"}),
        ("voc", {"labels/normal9.txt": GUN}),
        ("labelme", {"annotations.xml": "<annotations><image><box/></image></annotations>"}),
        ("labelme", {"truth/all.json": coco(["normal0.png"], {"normal0.png": {}})}),
        ("opixray", {"boxes/x.xml": GUN_XML}),
    ],
)  # fmt: skip
def test_a_set_without_any_labels_that_are_read_is_refused_where_others_lie_there(
    stage: Stage, source: str, files: Mapping[str, Content]
) -> None:
    with pytest.raises(InputError, match="no image has labels, though there are 1 files of labels"):
        stage({**in_folder("images"), **files}, source=source, classes={"*": "*"},
              unannotated="normal", bad_input="skip")  # fmt: skip


@pytest.mark.parametrize("block", ["categories", "images"])
def test_a_coco_id_that_stands_for_two_is_named(
    stage: Stage, capsys: pytest.CaptureFixture[str], block: str
) -> None:
    content = json.loads(coco(["a.png", "b.png"], {"a.png": {}}))
    content[block].append({**content[block][0], "name": "bottle", "file_name": "c.png"})
    with pytest.raises(InputError, match="bad files"):
        stage({"a.png": None, "b.png": None, "a.json": json.dumps(content)}, source="coco")
    assert "is used twice" in capsys.readouterr().err


def test_an_image_that_two_coco_files_list_is_left_out(stage: Stage) -> None:
    guns: dict[str, dict[str, Any]] = {name: {} for name in PICTURES[3:5]}
    files = {"a.json": coco(PICTURES[:4], {}), "b.json": coco(PICTURES[3:], guns)}
    found = stage({**in_folder("."), **files}, source="coco", bad_input="skip")
    assert "normal3" not in found.rows
    assert found.classes()["normal4"] == ("gun",)


@pytest.mark.parametrize(
    ("json_file", "prefix"),
    [
        ("annotations/instances_train.json", ""),
        ("train/_annotations.coco.json", ""),
        ("all.json", "/data/test/sets/train/"),
        ("all.json", "train/"),
    ],
)
def test_labels_of_another_part_are_not_an_image_s(
    stage: Stage, capsys: pytest.CaptureFixture[str], json_file: str, prefix: str
) -> None:
    listed = coco([f"{prefix}1.png", f"{prefix}2.png"], {f"{prefix}1.png": {}})
    files = {**in_folder("images"), "images/test/1.png": None, "images/test/2.png": None,
             json_file: listed, "normals.json": coco([*in_folder("images")], {})}  # fmt: skip
    with pytest.raises(InputError, match=r"scans\.classes: no scan has gun|2 bad files"):
        stage(files, source="coco")
    reason = f"image '{prefix}2.png' is not set/images/test/2.png, whose case, suffix or part diff"
    assert reason in capsys.readouterr().err


def test_coco_files_tell_equal_names_apart_by_their_part(stage: Stage) -> None:
    images = {**in_folder("images/train"), **in_folder("images/test")}
    files = {"annotations/instances_train.json": coco(PICTURES, {}),
             "annotations/instances_test.json": coco(PICTURES, {PICTURES[0]: {}})}  # fmt: skip
    found = stage({**images, **files}, source="coco", parts="own")
    assert found.threats() == {"images/test/normal0"}
    assert len(found.rows) == 16


def test_an_image_that_no_coco_file_lists_may_be_normal(stage: Stage) -> None:
    files = {**in_folder("."), "a.json": coco(PICTURES[:7], {PICTURES[0]: {}}), "info.json": "{}"}
    found = stage(files, source="coco", unannotated="normal")
    assert len(found.rows) == 8
    assert "ignored: 1 .json: JSON, but not COCO's" in found.account


@pytest.mark.parametrize(
    ("line", "pixels"),
    [
        ("0 0.2 0.2 0.6 0.2 0.6 0.6 0.2 0.6", 21 * 17),
        ("0 0.2 0.2 0.6 0.2 0.6 0.6 0.2 0.6 0.91 7", 21 * 17),
        ("0 0.2 0.2 0.6 0.2 0.6 0.6 0.2 0.6 12", 21 * 17),
        (f"{GUN} 12", 300),
    ],
)
def test_a_track_after_a_polygon_is_left_out(stage: Stage, line: str, pixels: int) -> None:
    (region,) = stage({**BASE, "labels/a.txt": line}).scans()["images/a"].regions
    assert int(region.mask.sum()) == pixels


def test_what_ultralytics_leaves_beside_a_set_is_ignored(stage: Stage) -> None:
    files = {"labels.cache": b"\x93NUMPY" + bytes(20), "images/a.npy": b"\x93NUMPY" + bytes(20),
             "runs/detect/train/results.png": None, "runs/detect/train/results.csv": "a,b\n1,2\n",
             "README.roboflow.txt": "made in May", "labels/log.txt": "done",
             "args.yaml": "!!python/object:a {}", "sweep.yaml": "names: 3"}  # fmt: skip
    found = stage({**BASE, **files})
    assert len(found.rows) == 9
    assert "1 .png: of Ultralytics' runs" in found.account


def test_poses_are_refused(stage: Stage) -> None:
    with pytest.raises(InputError, match="kpt_shape: poses are not read"):
        stage({**BASE, "data.yaml": NAMES + "kpt_shape: [2, 2]\n"})


def test_btad_s_names_of_normal_and_defect(stage: Stage) -> None:
    mask = np.ones((40, 50, 1), dtype=np.uint8)
    files = {**in_folder("train/ok"), "test/ok/0.bmp": None, "test/ko/1.bmp": None,
             "ground_truth/ko/1.bmp": mask, "ground_truth/ok/0.bmp": mask * 0}  # fmt: skip
    found = stage(files, source="mvtec", classes={"ok": "normal", "ko": "gun"})
    assert found.threats() == {"test/ko/1"}
    assert len(found.rows) == 10


def test_tables_name_images_in_any_case_and_a_bare_number_is_no_name(stage: Stage) -> None:
    files = {**BACKGROUNDS, "images/5.png": None, "images/B.png": None,
             "losses.csv": "5,0.1,0.2,0.3,0.4\n", "boxes.csv": "b.png,10,5,30,20\n"}  # fmt: skip
    found = stage(files, bad_input="skip")
    assert {"images/5", "images/normal0"} <= set(found.rows)
    assert "images/B" not in found.rows


def test_images_in_a_folder_that_is_not_called_mask_are_no_masks(stage: Stage) -> None:
    names = ("unmasked/c", "maskless/d", "labels/x/e", "labels/y/e", "my yolo/f", "voc/f")
    found = stage({**BACKGROUNDS, **{f"{name}.png": None for name in names}})
    assert set(names) <= set(found.rows)


def test_an_image_with_a_segmentation_mask_but_no_boxes_is_no_normal(stage: Stage) -> None:
    files = {**in_folder("JPEGImages"), "JPEGImages/a.png": None, "Annotations/a.xml": GUN_XML,
             "SegmentationClass/a.png": None, "SegmentationClass/normal0.png": None}  # fmt: skip
    found = stage(files, source="voc", unannotated="normal", bad_input="skip")
    assert "JPEGImages/normal0" not in found.rows
    assert len(found.rows) == 8


def test_labels_of_images_that_are_not_read_are_told_of_the_images(stage: Stage) -> None:
    files: dict[str, Content] = {
        "images/a.webp": b"RIFF0000WEBP",
        "labels/a.txt": GUN,
        "data.yaml": NAMES,
    }
    with pytest.raises(InputError, match=r"labels/a\.txt, but no image that is read: .*a\.webp"):
        stage(files)


@pytest.mark.parametrize("name", ["images/b.png", "labels/normal0.txt"])
def test_a_pointer_of_git_lfs_is_named(
    stage: Stage, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(InputError, match="1 bad file"):
        stage({**BASE, "labels/b.txt": "", "images/b.png": None,
               name: "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"})  # fmt: skip
    assert f"set/{name}: a pointer of Git LFS: run `git lfs pull`" in capsys.readouterr().err


BACKGROUNDS: dict[str, Content] = {
    **in_folder("images"), "images/a.png": None, "labels/a.txt": GUN, "data.yaml": NAMES
}  # fmt: skip
BAGS = "file,bag_id\n" + "".join(f"normal{n}.png,bag{n}\n" for n in range(8))


@pytest.mark.parametrize(
    ("files", "scans"),
    [
        ({"bags.csv": BAGS}, {"group": {"table": "bags.csv", "scan": "file", "bag": "bag_id"}}),
        ({"meta.csv": "image,train,gun\n" + "normal1.png,1,False\n"}, {}),
        ({"README.txt": "scans 100 20 30 150\n"}, {}),
        ({"scanner.csv": "file,kV,mA\n" + "normal1.png,160,2.5\n"}, {}),
        ({"losses.csv": "".join(f"{n},0.1,0.2,0.3,0.4\n" for n in range(9))}, {}),
        ({"model.json": '{"labels": ["gun", "knife"], "image": {"width": 50}}'}, {}),
        ({"empty.json": ""}, {}),
        ({"labels.zip": b"PK"}, {"unannotated": "normal"}),
        ({"sizes.csv": "normal1.png,1,2,3,4\n"}, {"unannotated": "normal"}),
        ({"annotations/i.json": coco(["a.png"], {"a.png": {}})}, {"unannotated": "normal"}),
        ({"images/normal1.json": '{"kV": 160}', "images/normal2.xml": xml()}, {}),
        ({"runs/detect/predict/labels/normal0.txt": GUN}, {}),
    ],
)
def test_backgrounds_beside_files_that_say_nothing_of_them_are_normal(
    stage: Stage, files: Mapping[str, Content], scans: Mapping[str, Any]
) -> None:
    found = stage({**BACKGROUNDS, **files}, **scans)
    assert found.threats() == {"images/a"}
    assert len(found.rows) == 9


@pytest.mark.parametrize(
    "files",
    [
        {"annotations/i.json": coco(["b.png"], {"b.png": {}})},
        {"annotations.xml": "<annotations><image name='b.png'><box/></image></annotations>"},
        {"all.txt": "images/b.png 10 5 30 20 0\n"},
        {"train.txt": "images/b.png 10,5,30,20,0\nimages/normal0.png\n"},
        {"all.txt": "images/b.png,10,5,30,20,gun\n"},
        {"a.tsv": "b.png\tgun\t10\t5\t30\t20\n"},
        {"b.csv": "B.PNG;gun;10;5;30;20\n"},
        {"via.csv": 'b.png,99,"{}",1,0,"{""name"":""rect"",""x"":10,""y"":5}","{}"\n'},
        {"utf16.csv": "file,w,h,class,x,y\nx/b.png,50,40,gun,10,5\n".encode("utf-16")},
        {
            "annotations/i.json": coco(
                [f"{n:05}.png" for n in range(900)] + ["b.png"], {"b.png": {}}
            )
        },
        {
            "annotations.xml": "<annotations>"
            + "<image name='c.png'/>" * 4000
            + "<image name='b.png'><mask/></image></annotations>"
        },
        {"min.json": '[{"image": "b.png", "label": [{"rectanglelabels": ["gun"]}]}]'},
        {"full.json": '[{"result": [{"value": {"rectanglelabels": ["gun"]}}]}]'},
        {"labels.json": '{"labels": {"b": [{"label": "gun"}]}}'},
        {"samples.ndjson": '{"ground_truth": {"detections": [{"label": "gun"}]}}'},
        {"ground_truth/b.png": np.ones((40, 50, 3), dtype=np.uint8)},
        {"SegmentationClassPNG/b.png": np.ones((40, 50, 3), dtype=np.uint8)},
        {"labels/b.png": np.ones((40, 50, 3), dtype=np.uint8)},
        {"images/b_gt.png": np.ones((40, 50, 3), dtype=np.uint8)},
        {"masks/b_mask.png": np.ones((40, 50, 1), dtype=np.uint8)},
    ],
)
def test_backgrounds_are_not_taken_for_normal_while_labels_lie_there_that_are_not_read(
    stage: Stage, files: Mapping[str, Content]
) -> None:
    with pytest.raises(InputError, match=r"bad files?, named above"):
        stage({**BACKGROUNDS, "images/b.png": None, **files})


@pytest.mark.parametrize(
    "content",
    [
        {"images": [{"id": 0, "file_name": "normal0.jpg"}]},
        {"annotations": [{"id": 1, "image_id": 99, "category_id": 7, "bbox": [10, 5, 20, 15]}]},
    ],
)
def test_images_that_a_coco_file_may_mean_are_no_normals(
    stage: Stage, content: Mapping[str, Any]
) -> None:
    one, other = (json.loads(coco(part, {})) for part in (PICTURES[:1], PICTURES[1:]))
    files = {"a.json": json.dumps(one | content), "b.json": json.dumps(other)}
    found = stage({**in_folder("."), **files}, source="coco", bad_input="skip",
                  unannotated="normal", classes={})  # fmt: skip
    assert "normal0" not in found.rows
    assert len(found.rows) == 7


def test_a_yolo_set_of_normals_with_empty_labels_needs_no_names(stage: Stage) -> None:
    files = {f"labels/{name}.txt": "" for name in NORMALS}
    found = stage({**in_folder("images"), **files, "README.txt": "all clear"}, classes={})
    assert len(found.rows) == 8
    assert [scan.regions for scan in found.scans().values()] == [()] * 8


@pytest.mark.parametrize("source", ["yolo", "voc"])
def test_what_the_folder_above_the_set_is_called_does_not_matter(stage: Stage, source: str) -> None:
    above = "masks/SegmentationClass/runs"
    labels = {"images/a.txt": GUN, "data.yaml": NAMES, "images/a.xml": GUN_XML}
    files = {**in_folder("images"), "images/a.png": None, **labels}
    found = stage(
        {f"{above}/{name}": content for name, content in files.items()},
        source=source, folder=f"set/{above}", unannotated="normal",
    )  # fmt: skip
    assert len(found.rows) == 9
    assert found.classes()["images/a"] == ("gun",)


@pytest.mark.parametrize("source", ["coco", "voc", "labelme", "opixray"])
def test_normals_alone_need_no_annotation_where_the_user_says_so(stage: Stage, source: str) -> None:
    found = stage(in_folder("images"), source=source, classes={}, unannotated="normal")
    assert set(found.classes().values()) == {()}
    assert [scan.regions for scan in found.scans().values()] == [()] * 8
