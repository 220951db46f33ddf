"""Sets as public tools write them: every threat is found or named, none is normal in silence."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import InputError
from tests.sources.sets import (
    BOX,
    GUN,
    GUN_XML,
    NAMES,
    NORMALS,
    PICTURES,
    SIZE,
    Content,
    Stage,
    coco,
    in_folder,
    noise,
    xml,
)


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("images/a.png", "labels/a.txt"),
        ("Images/a.png", "Labels/a.txt"),
        ("images/a.png", "images/a.txt"),
        ("images/train/a.png", "labels/train/a.txt"),
        ("train/images/a.png", "train/labels/a.txt"),
        ("train_image/a.png", "train_annotation/a.txt"),
        ("JPEGImages/a.jpg", "Annotations/a.txt"),
        ("pictures/a.png", "truth/a.txt"),
        ("obj_train_data/a.png", "obj_train_data/a.txt"),
        ("images/a.png", "labels/a.TXT"),
    ],
)
def test_yolo_labels_are_found_whatever_the_folders_are_called(
    stage: Stage, image: str, labels: str
) -> None:
    others = in_folder(str(Path(image).parent))
    found = stage({image: None, labels: GUN, "data.yaml": NAMES, **others})
    a = str(Path(image).with_suffix(""))
    assert (found.threats(), found.classes()[a]) == ({a}, ("gun",))
    (gun,) = found.scans()[a].regions
    box = np.zeros(SIZE[::-1], dtype=np.bool_)
    box[BOX] = True
    np.testing.assert_array_equal(gun.mask, box)
    assert "8 images without annotation, taken for normal" in found.account


def test_labels_that_could_be_several_images_are_named(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"images/a.png": None, "scans/a.png": None, "labels/a.txt": GUN}
    with pytest.raises(InputError, match="3 bad files"):
        stage({**files, **in_folder("images"), "labels/normal0.txt": "", "data.yaml": NAMES})
    text = capsys.readouterr().err
    for name in files:
        assert f"bad input: set/{name}: cannot tell which labels belong" in text


@pytest.mark.parametrize("place", ["labels", "elsewhere"])
def test_labels_of_which_none_has_an_image_end_the_stage(stage: Stage, place: str) -> None:
    with pytest.raises(InputError, match="no image has labels, though there are 2 files of labels"):
        stage(
            {**in_folder("images"), f"{place}/b.txt": GUN, f"{place}/c.txt": GUN,
             "data.yaml": NAMES},
            bad_input="skip",
        )  # fmt: skip


def test_a_file_of_labels_without_an_image_is_named_and_no_image_is_normal_meanwhile(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {**in_folder("images"), "labels/normal0.txt": GUN, "labels/gone.txt": GUN}
    with pytest.raises(InputError, match="8 bad files"):
        stage({**files, "data.yaml": NAMES, "notes.txt": "made in May\n"})
    text = capsys.readouterr().err
    assert "bad input: set/labels/gone.txt: labels of no image" in text
    assert "7 images without annotation, such as set/images/normal1.png: their labels may" in text
    with pytest.raises(InputError, match="no normal scan for train"):
        stage({}, bad_input="skip")
    found = stage({}, bad_input="skip", unannotated="normal")
    assert "1 bad, 1 ignored" in found.account
    assert "ignored: 1 .txt: text, but no labels" in found.account


def test_no_image_is_normal_while_a_coco_file_cannot_be_read(stage: Stage) -> None:
    files = {"a.json": coco(PICTURES[:1], {PICTURES[0]: {}}),
             "b.json": coco(PICTURES[1:], {})[:-9]}  # fmt: skip
    with pytest.raises(InputError, match="no normal scan for train"):
        stage({**in_folder("images"), **files}, source="coco", bad_input="skip",
              unannotated="normal")  # fmt: skip


@pytest.mark.parametrize(
    ("source", "folder"),
    [("yolo", "images"), ("class_folders", "normal"), ("sixray", "normal"), ("masks", "normal")],
)
def test_normals_alone(stage: Stage, source: str, folder: str) -> None:
    classes = {"normal": "normal"} if source == "class_folders" else {}
    found = stage(in_folder(folder), source=source, classes=classes)
    assert set(found.classes().values()) == {()}
    assert len(found.rows) == 8


def test_labels_of_another_format_are_named(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {**in_folder("images"), "labels/normal0.txt": GUN, "voc/normal1.xml": GUN_XML}
    with pytest.raises(InputError, match="1 bad file"):
        stage({**files, "data.yaml": NAMES})
    expected = (
        "set/images/normal1.png: no labels were read, but set/voc/normal1.xml has the same name"
    )
    assert expected in capsys.readouterr().err


def test_a_triangle_is_a_triangle(stage: Stage) -> None:
    lines = "0 0.2 0.25 0.8 0.25 0.8 0.75\n0 0.2 0.25 0.8 0.25 0.8 1\n"
    found = stage({**in_folder("."), "a.png": None, "a.txt": lines, "data.yaml": NAMES})
    one, other = found.scans()["a"].regions
    assert int(one.mask.sum()) == pytest.approx(30 * 20 / 2, rel=0.2)
    assert int(other.mask.sum()) == pytest.approx(30 * 30 / 2, rel=0.2)


def test_words_that_older_yaml_takes_for_booleans_are_names(stage: Stage) -> None:
    files = {**in_folder("images"), "labels/normal0.txt": GUN, "data.yaml": "names: [on, no]"}
    assert stage(files, classes={"on": "gun"}).classes()["images/normal0"] == ("gun",)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPG", ".dat", ""])
def test_a_picture_of_any_suffix_is_taken(stage: Stage, suffix: str) -> None:
    files = {**in_folder("normal"), f"gun/0{suffix}": None}
    found = stage(files, source="class_folders", classes={"normal": "normal", "gun": "gun"})
    assert found.classes()["gun/0"] == ("gun",)


@pytest.mark.parametrize(
    "content", [b"GIF89a" + bytes(20), b"\x93NUMPY" + bytes(20), bytes(128) + b"DICM" + bytes(20)]
)
def test_a_picture_of_a_format_that_is_not_read_is_named(
    stage: Stage, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    files = {**in_folder("normal"), "gun/0": content, "gun/1.png": None}
    with pytest.raises(InputError, match="1 bad file"):
        stage(files, source="class_folders", classes={"normal": "normal", "gun": "gun"})
    assert "bad input: set/gun/0: not a format that is read" in capsys.readouterr().err


def test_a_class_that_no_scan_has_is_named(stage: Stage) -> None:
    files = {**in_folder("images"), "labels/normal0.txt": GUN, "data.yaml": NAMES}
    with pytest.raises(InputError, match="no scan in set has Knife: it has gun: correct or remove"):
        stage(files, classes={"gun": "gun", "Knife": "knife"})


@pytest.mark.parametrize(
    "files",
    [
        {"train/a.png": None, "train/a.xml": GUN_XML},
        {"Annotation/a.xml": GUN_XML, "JPEGImage/a.jpg": None},
        {"VOC2007/Annotations/a.xml": GUN_XML, "VOC2007/JPEGImages/a.jpg": None},
        {"JPEGImages/a.jpg": None, "Annotations/a.xml": GUN_XML,
         "SegmentationClass/a.png": noise(9), "ImageSets/Main/train.txt": "a\n"},
    ],
)  # fmt: skip
def test_voc_as_tools_write_it(stage: Stage, files: Mapping[str, Content]) -> None:
    place = next(str(Path(name).parent) for name in files if Path(name).stem == "a"
                 and Path(name).suffix in (".png", ".jpg"))  # fmt: skip
    labels = next(str(Path(name).parent) for name in files if name.endswith(".xml"))
    normals = {f"{labels}/{name}.xml": xml() for name in NORMALS}
    found = stage({**files, **normals, **in_folder(place)}, source="voc")
    assert found.classes()[f"{place}/a"] == ("gun",)
    assert len(found.rows) == 9
    (region,) = found.scans()[f"{place}/a"].regions
    assert region.mask[BOX].all()
    assert int(region.mask.sum()) == 300


def test_a_million_negatives_are_one_line(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    files = {**in_folder("JPEGImages"), "JPEGImages/p.jpg": None, "Annotations/p.xml": GUN_XML}
    with pytest.raises(InputError, match="8 bad files"):
        stage(files, source="voc")
    lines = [line for line in capsys.readouterr().err.splitlines() if "without annotation" in line]
    assert len(lines) == 1
    assert "set: 8 images without annotation, such as set/JPEGImages/normal0.png" in lines[0]
    found = stage({}, source="voc", unannotated="normal")
    assert sum(not row.classes for row in found.rows.values()) == 8
    assert "8 images without annotation, taken for normal (scans.unannotated)" in found.account


def test_mvtec_ad(stage: Stage) -> None:
    mask = np.zeros((*SIZE[::-1], 1), dtype=np.uint8)
    mask[BOX] = 255
    files = {**in_folder("train/good"), "test/good/000.png": None, "test/hole/000.png": None,
             "ground_truth/hole/000_mask.png": mask}  # fmt: skip
    found = stage(files, source="mvtec", classes={})
    assert found.classes() == {
        **{f"train/good/{name}": () for name in NORMALS},
        "test/good/000": (), "test/hole/000": ("hole",),
    }  # fmt: skip
    assert {split for name, split in found.splits().items() if name.startswith("test")} == {"test"}
    (region,) = found.scans()["test/hole/000"].regions
    np.testing.assert_array_equal(region.mask, mask[:, :, 0] > 0)


@pytest.mark.parametrize("source", ["opixray", "hixray"])
def test_the_text_annotation_of_opixray_and_hixray(stage: Stage, source: str) -> None:
    normals = {f"train/train_annotation/{name}.txt": "" for name in NORMALS}
    files = {**in_folder("train/train_image"), **normals, "test/test_image/a.jpg": None,
             "test/test_annotation/a.txt": "a.jpg Folding_Knife 10 5 30 20\n",
             "train/train_knife.txt": "\n".join(NORMALS)}  # fmt: skip
    found = stage(files, source=source, classes={"Folding_Knife": "knife"}, parts="own")
    assert found.classes()["test/test_image/a"] == ("knife",)
    (region,) = found.scans()["test/test_image/a"].regions
    assert region.mask[BOX].all()
    assert int(region.mask.sum()) == 300


def test_labelme(stage: Stage) -> None:
    shapes = [{"label": "gun", "shape_type": "rectangle", "points": [[10, 5], [30, 20]]}]
    normals = {f"{name}.json": json.dumps({"shapes": []}) for name in NORMALS}
    files = {**in_folder("."), **normals, "a.png": None, "a.json": json.dumps({"shapes": shapes})}
    found = stage(files, source="labelme")
    assert found.classes()["a"] == ("gun",)
    (region,) = found.scans()["a"].regions
    assert region.mask[BOX].all()


OWN = {"train": "train", "val": "validation", "valid": "validation", "test": "test"}


@pytest.mark.parametrize("validation", ["val", "valid"])
@pytest.mark.parametrize("source", ["coco", "voc", "yolo", "class_folders"])
def test_the_set_s_own_parts_are_the_splits(stage: Stage, source: str, validation: str) -> None:
    below = "good/" if source == "class_folders" else ""
    images = {
        f"{part}/{below}{part}{number}.png": None
        for part in ("train", validation, "test")
        for number in range(3)
    }
    files: dict[str, Content] = {**images}
    threats = [f"{part}/{below}gun.png" for part in ("train", "test")]
    threats = [name.replace("good/", "gun/") for name in threats]
    files |= dict.fromkeys(threats)
    if source == "voc":
        files |= {str(Path(n).with_suffix(".xml")): GUN_XML if n in threats else xml()
                  for n in (*images, *threats)}  # fmt: skip
    elif source == "yolo":
        files |= {str(Path(name).with_suffix(".txt")): GUN for name in threats}
        files["data.yaml"] = NAMES
    elif source == "coco":
        files["a.json"] = coco([*images, *threats], {name: {} for name in threats})
    classes = {"good": "normal", "gun": "gun"} if below else {"gun": "gun"}
    found = stage(files, source=source, classes=classes, parts="own")
    expected = {str(Path(n).with_suffix("")): OWN[n.split("/")[0]] for n in (*images, threats[1])}
    assert found.splits() == expected
    assert "1 scans of bags with a threat in the set's own parts, left out" in found.account
    shared = stage({}, source=source, classes=classes, parts="shares")
    assert len(shared.rows) == len(images) + 2
    assert shared.splits() != expected


def test_parts_by_lists_of_images(stage: Stage) -> None:
    lists = {
        "ImageSets/Main/train.txt": "\n".join(NORMALS[:4]),
        "ImageSets/Main/val.txt": "\n".join(NORMALS[4:6]),
        "ImageSets/Main/test.txt": "\r\n".join(NORMALS[6:]),
    }
    labels = {f"Annotations/{name}.xml": xml() for name in NORMALS}
    labels["Annotations/normal7.xml"] = GUN_XML
    masks: dict[str, Content] = {"SegmentationClass/normal7.png": None}
    files = {**in_folder("JPEGImages"), **labels, **lists, **masks}
    found = stage(files, source="voc", parts="own")
    assert list(found.splits().values()) == ["train"] * 4 + ["validation"] * 2 + ["test"] * 2


def test_own_parts_lend_a_sweep_their_labelled_scans(stage: Stage) -> None:
    files: dict[str, Content] = {"data.yaml": NAMES}
    for part in ("train", "val", "test"):
        for number in range(4):
            files |= {f"{part}/n{number}.png": None, f"{part}/g{number}.png": None,
                      f"{part}/g{number}.txt": GUN}  # fmt: skip
    found = stage(files, parts="own", labelled_validation=0.5)
    seen = [name for name, split in found.splits().items() if split == "labelled_validation"]
    assert not any(name.startswith("test") for name in seen)
    assert sum("/g" in name for name in seen) == 4
    assert sum("/n" in name for name in seen) == 2
    assert all(found.splits()[f"test/{kind}{n}"] == "test" for kind in "gn" for n in range(4))


def test_roboflow_s_copies_stay_in_one_split(stage: Stage) -> None:
    files = {
        f"images/bag{bag}_jpg.rf.{copy:032x}.jpg": None for bag in range(10) for copy in range(3)
    }
    found = stage({**files, "data.yaml": NAMES}, classes={})
    for bag in range(10):
        assert len({split for name, split in found.splits().items() if f"bag{bag}_" in name}) == 1
    assert len(set(found.splits().values())) > 1
    assert "30 of 30 scans are Roboflow's copies of 10 pictures" in found.account


def test_windows_outside_of_threats_may_train(stage: Stage) -> None:
    files = {f"labels/{name}.txt": GUN for name in NORMALS}
    files["data.yaml"] = NAMES
    with pytest.raises(InputError, match="no normal scan for train"):
        stage({**in_folder("images"), **files})
    found = stage({}, normal_windows="outside")
    assert {"train", "validation", "test"} == set(found.splits().values())
    assert "labels were used (scans.normal_windows)" in found.account


@pytest.mark.parametrize("odd", [1, 3])
def test_the_number_of_channels_is_that_of_most_scans(
    stage: Stage, capsys: pytest.CaptureFixture[str], odd: int
) -> None:
    usual = 4 - odd
    files: dict[str, Content] = {f"images/b{n}.png": noise(n, usual) for n in range(7)}
    files |= {"images/a.png": noise(99, odd), "data.yaml": NAMES}
    with pytest.raises(InputError, match="1 bad file"):
        stage(files, classes={})
    reason = f"set/images/a.png: {odd} channels, but 7 of 8 scans have {usual}"
    assert reason in capsys.readouterr().err
    assert len(stage({}, classes={}, bad_input="skip").rows) == 7


def test_the_account_adds_up(stage: Stage) -> None:
    files = {**in_folder("images"), "labels/normal0.txt": f"{GUN}\n{GUN}\n1 0.5 0.5 0.2 0.2",
             "labels/normal1.txt": "", "data.yaml": NAMES, "README.md": "a set", ".hidden": "x",
             "labels/train.cache": b"\x80"}  # fmt: skip
    found = stage(files, classes={"gun": "gun", "bottle": "normal"})
    lines = found.account.splitlines()
    assert lines[0] == ("set: 13 files seen: 8 used as images, 3 as annotations, 0 bad, 2 ignored")
    assert "  ignored: 1 .md: neither an image nor an annotation of this format" in lines
    assert "  ignored: 1 .cache: neither an image nor an annotation of this format" in lines
    assert "  hidden, and not looked at: 1 (.hidden)" in lines
    _, *splits = next(line.split() for line in lines if line.startswith("scans "))
    in_test = {
        " ".join(words[: -len(splits)]): words[-len(splits) :][splits.index("test")]
        for words in map(str.split, lines)
    }
    assert in_test["gun"] == "1"
    assert in_test["objects: gun (gun)"] == "2"
    assert in_test["objects: bottle (normal)"] == "1"
    empty = next(line.split()[2:] for line in lines if line.startswith("without objects "))
    assert sum(map(int, empty)) == 7


IN_SHARES: dict[str, dict[str, Content]] = {
    "coco": {
        "a.json": json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.png"}],
                "categories": [{"id": 1, "name": "gun"}],
                "annotations": [
                    {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0.2, 0.3, 0.4, 0.4]}
                ],
            }
        )
    },
    "voc": {
        "a.xml": "<annotation><object><name>gun</name><bndbox><xmin>0.2</xmin><ymin>0.3</ymin>"
        "<xmax>0.6</xmax><ymax>0.7</ymax></bndbox></object></annotation>"
    },
    "opixray": {"a.txt": "a.png gun 0.2 0.3 0.6 0.7"},
    "labelme": {
        "a.json": json.dumps(
            {"shapes": [{"label": "gun", "points": [[0.2, 0.3], [0.6, 0.3], [0.6, 0.7]]}]}
        )
    },
}


@pytest.mark.parametrize("source", IN_SHARES)
def test_coordinates_in_shares_are_bad_where_pixels_are_expected(
    stage: Stage, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    with pytest.raises(InputError, match="1 bad file"):
        stage({**in_folder("."), "a.png": None, **IN_SHARES[source]}, source=source,
              unannotated="normal")  # fmt: skip
    assert "coordinates in shares of the image, expected pixels" in capsys.readouterr().err
