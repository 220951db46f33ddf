"""The generated scans: their physics, that they repeat, and that a folder of them reads back."""

import colorsys
import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import xraydb

from pipeline.patches.windows import BACKGROUND_LEVEL, foreground_mask
from pipeline.scans.classes import AS_NAMED
from pipeline.scans.generated import coco
from pipeline.scans.generated.coco import (
    RUN_KEY_FILE,
    generate,
    run_key,
    scan_records,
    write_annotations,
    write_png,
)
from pipeline.scans.generated.generator import (
    CYCLE,
    MARGIN,
    PARCEL_PLACES,
    begin_scan,
    render_scan,
    threat_of,
)
from pipeline.scans.generated.items import (
    CLOTHES,
    ITEM_SETS,
    THREATS,
    TRADE_GOODS,
    Item,
    Packed,
)
from pipeline.scans.generated.materials import ENERGIES_KEV, attenuation
from pipeline.scans.generated.packing import SILHOUETTE_DEPTH, Scene, lay_together
from pipeline.scans.generated.shapes import Pose, Tile, rounded
from pipeline.scans.generated.textures import Textures
from pipeline.scans.generated.xray_detector import (
    PALETTE,
    PHOTONS,
    Floats,
    effective_z,
    expose,
    readings,
    transmission,
)
from pipeline.scans.scan import Region, Scan
from pipeline.scans.sources.coco import CocoSource

SEED = 11
SIDE = 64


def slab(material: str, cm: float) -> Floats:
    """Optical depths (2, SIDE, SIDE) of an even slab."""
    depths = np.array(attenuation(material), dtype=np.float32) * np.float32(cm)
    return np.broadcast_to(depths[:, None, None], (2, SIDE, SIDE)).copy()


def hue(material: str, cm: float) -> float:
    """Mean hue, degrees, of a slab as it is painted."""
    image = expose(slab(material, cm), np.random.default_rng(SEED))
    red, green, blue = (image[8:-8, 8:-8].mean(axis=(0, 1)) / 255).tolist()
    return 360 * colorsys.rgb_to_hsv(red, green, blue)[0]


def tile(angle: float = 0.0, squash: float = 1.0) -> Tile:
    rng = np.random.default_rng(SEED)
    return Tile(4.0, Pose(10.0, angle, squash), Textures(rng))


# Physics


def test_attenuation_is_that_of_the_tables() -> None:
    for energy, found in zip(ENERGIES_KEV, attenuation("steel"), strict=True):
        mass_attenuation = xraydb.mu_elam("Fe", 1000 * energy)
        assert found == pytest.approx(7.87 * mass_attenuation, rel=1e-6)


def test_transmission_falls_with_thickness() -> None:
    passed = [transmission(slab("aluminium", cm))[:, 0, 0] for cm in (0.0, 0.5, 1.0, 2.0)]
    assert passed[0].tolist() == [1.0, 1.0]
    assert all((after < before).all() for before, after in pairwise(passed))
    np.testing.assert_allclose(passed[2], passed[1] ** 2, rtol=1e-5)  # Beer-Lambert


@pytest.mark.parametrize(
    ("material", "cm", "lowest", "highest"),
    [
        ("water", 5, 25, 50),
        ("nylon", 5, 25, 50),
        ("cotton", 20, 25, 50),
        ("aluminium", 1, 80, 150),
        ("steel", 0.15, 195, 220),
        ("brass", 0.1, 195, 220),
    ],
)
def test_organic_is_orange_light_metal_green_metal_blue(
    material: str, cm: float, lowest: float, highest: float
) -> None:
    assert lowest < hue(material, cm) < highest


def test_effective_z_comes_from_the_noisy_readings() -> None:
    measured = readings(slab("aluminium", 1.0), np.random.default_rng(SEED))
    assert measured.std() > 0
    assert effective_z(measured).mean() == pytest.approx(13, abs=1)
    assert min(PALETTE) < 13 < max(PALETTE)


def test_overlapping_objects_absorb_together() -> None:
    alone, both = tile(), tile()
    alone.box((0, 0), (4, 4), 1.0, "water")
    both.box((0, 0), (4, 4), 0.4, "water")
    both.box((0, 0), (4, 4), 0.6, "water")
    np.testing.assert_allclose(both.finished(), alone.finished(), rtol=1e-5, atol=1e-6)


def test_a_cylinder_has_its_chord_and_its_volume() -> None:
    drawn = tile()
    drawn.rod((-2, 0), (2, 0), 1.0, "water")
    thickness = drawn.finished()[0] / attenuation("water")[0]
    assert thickness.max() == pytest.approx(2.0, rel=0.01)
    assert thickness.sum() / 10**2 == pytest.approx(np.pi * 4, rel=0.03)  # cm3, at 10 pixels a cm


def test_a_thin_tube_does_not_alias() -> None:
    drawn = tile(angle=0.3)
    drawn.rod((-2, 0), (2, 0), 1.0, "steel", 0.98)
    volume = drawn.finished()[0].sum() / 10**2 / attenuation("steel")[0]
    assert volume == pytest.approx(np.pi * (1 - 0.98**2) * 4, rel=0.05)


def test_tilt_keeps_the_volume() -> None:
    flat, tilted = tile(), tile(squash=0.5)
    for drawn in (flat, tilted):
        drawn.polygon(rounded((0, 0), 4, 4, 0.2), 1.0, "water")
    assert tilted.finished().sum() == pytest.approx(flat.finished().sum(), rel=0.05)


# Scans


@pytest.fixture(scope="module")
def scans() -> list[Scan]:
    return [render_scan(SEED, number) for number in range(len(CYCLE))]


def test_the_cycle_is_six_normal_scans_and_one_of_each_class() -> None:
    assert CYCLE == (None,) * 6 + ("knife", "gun", "gun_part", "full_weapon")
    assert [threat_of(number) for number in (0, 5, 6, 19, 20)] == [
        None, None, "knife", "full_weapon", None,
    ]  # fmt: skip


def test_a_scan_is_a_function_of_seed_and_number(scans: list[Scan]) -> None:
    again = render_scan(SEED, 7)
    np.testing.assert_array_equal(again.image, scans[7].image)
    np.testing.assert_array_equal(again.regions[0].mask, scans[7].regions[0].mask)
    assert again.scan_id == scans[7].scan_id == "00007"
    other = render_scan(SEED + 1, 7).image
    assert other.shape != again.image.shape or (other != again.image).any()
    assert len({scan.image.tobytes() for scan in scans}) == len(scans)


def test_regions_are_the_threats_of_the_scan(scans: list[Scan]) -> None:
    for number, scan in enumerate(scans):
        height, width = scan.image.shape[:2]
        assert min(height, width) >= 300
        assert max(height, width) <= 800
        assert {region.class_name for region in scan.regions} == {threat_of(number)} - {None}
        for region in scan.regions:
            assert region.mask.shape == (height, width)
            assert 200 < region.mask.sum() < 0.2 * height * width


def test_a_threat_absorbs_where_its_region_is(scans: list[Scan]) -> None:
    for scan in scans:
        for region in scan.regions:
            core = cv2.erode(region.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            assert (scan.image[core].min(axis=1) < BACKGROUND_LEVEL).mean() > 0.95


def test_air_is_white() -> None:
    image = expose(np.zeros((2, 500, 700), np.float32), np.random.default_rng(SEED))
    assert image.min() >= BACKGROUND_LEVEL


# Packing


KINDS = {
    "clothes": [CLOTHES],
    **{name: [kind.item for kind in kinds] for name, kinds in ITEM_SETS.items()},
    "parcels": [*TRADE_GOODS],
    **{name: [*items] for name, items in THREATS.items()},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_no_object_is_cut_off_by_its_tile(name: str) -> None:
    rng = np.random.default_rng(SEED)
    for item in KINDS[name]:
        for _ in range(10):
            drawn = Tile(item.reach, Pose(3.0), Textures(rng))
            item.draw(drawn, rng)
            depth = drawn.finished()[1]
            assert depth.max() > SILHOUETTE_DEPTH
            edges = np.concatenate([depth[0], depth[-1], depth[:, 0], depth[:, -1]])
            assert edges.max() <= SILHOUETTE_DEPTH, item.draw.__name__


def test_item_sets_hold_two_to_six_metal_things_of_a_kind() -> None:
    assert set(ITEM_SETS) == {"business", "family", "sport", "tradesman", "camera", "kitchen"}
    for kinds in ITEM_SETS.values():
        assert all(0 <= kind.least <= kind.most <= 6 for kind in kinds)
        assert max(kind.most for kind in kinds) >= 3


def empty_bag(packed: tuple[float, float] = (1, 1)) -> Scene:
    """Return an empty room of 60 x 40 cm, turned by 0.3 radians, 5 pixels a cm."""
    rng = np.random.default_rng(SEED)
    axes = Pose(5.0, 0.3).matrix()
    depth = np.zeros((2, 400, 400), np.float32)
    return Scene(
        depth, np.array([30.0, 20.0]), axes, 5.0, np.array(packed), False, Textures(rng), rng
    )


def test_pieces_of_a_kind_lie_together() -> None:
    poses: list[Pose] = []

    def draw(tile: Tile, rng: np.random.Generator) -> None:
        poses.append(tile.pose)
        tile.disc((0, 0), 1, rng.uniform(1, 2), "steel")

    scene = empty_bag()
    lay_together(scene, Packed(Item(draw, 4), 5, 5))
    assert len(poses) == 5
    assert max(abs(pose.angle - poses[0].angle) for pose in poses) < 0.6
    rows, columns = np.nonzero(scene.depth[1])
    assert max(np.ptp(rows), np.ptp(columns)) <= (2 + 4 * 0.35 * 4 + 1) * 5


def test_flat_things_lie_along_or_across_the_bag() -> None:
    scene = empty_bag()
    turns = [(scene.lie_flat().angle - 0.3) / (np.pi / 2) for _ in range(50)]
    assert np.abs(np.array(turns) - np.rint(turns)).max() < 0.25
    assert len(set(np.rint(turns))) == 4


def test_one_end_of_the_bag_is_left_empty() -> None:
    scene = empty_bag((1, 0.5))
    tile = scene.draw(Item(lambda drawn, _: drawn.disc((0, 0), 1, 1, "steel"), 2), Pose(5.0))
    places = np.array([scene.place(tile, 1) for _ in range(200)])
    assert places[:, 0].min() < -15
    assert places[:, 0].max() > 15
    assert -20 < places[:, 1].min() < -10
    assert -5 < places[:, 1].max() <= 0


def test_the_image_fits_the_container(scans: list[Scan]) -> None:
    for scan in scans:
        absorbs = foreground_mask(scan.image)
        edges = [absorbs[0], absorbs[-1], absorbs[:, 0], absorbs[:, -1]]
        assert not any(edge.any() for edge in edges)
        rows, columns = np.nonzero(absorbs)
        height, width = absorbs.shape
        assert min(rows.min(), height - 1 - rows.max()) < 3 * MARGIN
        assert min(columns.min(), width - 1 - columns.max()) < 3 * MARGIN


# On disk


def write_scans(folder: Path, scans: list[Scan]) -> None:
    for scan in scans:
        write_png(folder / f"{scan.scan_id}.png", scan.image)
    records = [scan_records(scan.scan_id, scan.image.shape[:2], scan.regions) for scan in scans]
    write_annotations(folder, records)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two scans of plain noise: a normal one and one with two threats."""
    rng = np.random.default_rng(SEED)
    regions = []
    for index, name in enumerate(("knife", "gun")):
        mask = np.zeros((40, 50), np.bool_)
        mask[5 + index : 20, 10 : 30 + index] = True
        regions.append(Region(name, mask))
    pictures = rng.integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)
    found = [Scan("00000", pictures[0], ()), Scan("00001", pictures[1], tuple(regions))]
    write_scans(tmp_path, found)
    return tmp_path


def test_a_folder_reads_back_bit_for_bit(tmp_path: Path, scans: list[Scan]) -> None:
    write_scans(tmp_path, scans)
    source = CocoSource(tmp_path, AS_NAMED)
    entries = source.listing().entries
    assert [entry.scan_id for entry in entries] == [scan.scan_id for scan in scans]
    for entry, scan in zip(entries, scans, strict=True):
        read = source.read(entry)
        assert entry.classes == tuple(sorted({region.class_name for region in scan.regions}))
        np.testing.assert_array_equal(read.image, scan.image)
        assert [region.class_name for region in read.regions] == [
            region.class_name for region in scan.regions
        ]
        for one, other in zip(read.regions, scan.regions, strict=True):
            np.testing.assert_array_equal(one.mask, other.mask)


def test_annotations_are_coco(folder: Path) -> None:
    content = json.loads((folder / "annotations.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["00000.png", "00001.png"]
    assert [item["name"] for item in content["categories"]] == [
        "knife", "gun", "gun_part", "full_weapon",
    ]  # fmt: skip
    knife = content["annotations"][0]
    assert knife["bbox"] == [10, 5, 20, 15]
    assert knife["area"] == 300
    assert (knife["image_id"], knife["category_id"], knife["iscrowd"]) == (2, 1, 1)


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_workers_do_not_change_a_byte_and_a_killed_run_goes_on(tmp_path: Path) -> None:
    generate(tmp_path, SEED, 7, workers=2)
    whole = content_of(tmp_path)
    assert len(whole) == 8

    # As if killed: some images are there, one of them cut off, and no annotations. One worker
    # makes what two made.
    (tmp_path / RUN_KEY_FILE).write_text(run_key(SEED))
    (tmp_path / "annotations.json").unlink()
    kept, cut, *lost = (tmp_path / f"{name:05d}.png" for name in (0, 5, 1, 6))
    cut.write_bytes(whole["00005.png"][:1000])
    for path in lost:
        path.unlink()
    before = kept.stat().st_mtime_ns
    (tmp_path / ".00006.png.99999999.tmp").touch()  # of a process that was killed
    generate(tmp_path, SEED, 7, workers=1)
    assert content_of(tmp_path) == whole
    assert kept.stat().st_mtime_ns == before


def test_the_first_file_on_a_full_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / RUN_KEY_FILE).write_text(run_key(SEED))  # of a killed run, so the folder is kept
    (tmp_path / f".{RUN_KEY_FILE}.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as error:
        generate(tmp_path, SEED, 1, workers=1)
    assert error.value.filename == str(tmp_path / RUN_KEY_FILE)


@pytest.mark.slow
def test_nothing_outlives_a_killed_run(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from pipeline.scans.generated.coco import generate
if __name__ == "__main__":
    generate(Path({str(tmp_path)!r}), 1, 1000, workers=2)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (tmp_path / "00003.png").exists():
        assert process.poll() is None
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    for child in alive:
        child.kill()
    assert not alive


@pytest.mark.parametrize("key", ["", f"{SEED + 1}", f"{SEED} of other code"])
def test_another_seed_or_other_code_keeps_nothing(folder: Path, key: str) -> None:
    before = content_of(folder)
    (folder / RUN_KEY_FILE).write_text(key)
    generate(folder, SEED, 1, workers=1)
    assert sorted(content_of(folder)) == ["00000.png", "annotations.json"]
    assert content_of(folder)["00000.png"] != before["00000.png"]


def test_noise_is_that_of_the_photons() -> None:
    found = readings(np.zeros((2, 400, 400), np.float32), np.random.default_rng(0))
    lines = found - found.mean(axis=2, keepdims=True)
    assert lines.std() == pytest.approx(PHOTONS**-0.5, rel=0.05)


def test_a_tilted_object_is_smeared_across_its_axis() -> None:
    drawn = Tile(4.0, Pose(10.0, smear=4.0), Textures(np.random.default_rng(0)))
    drawn.box((0, 0), (2, 2), 1, "water", 0)
    rows, columns = np.nonzero(drawn.finished()[0])
    assert np.ptp(rows) > np.ptp(columns)


def test_threats_lie_anywhere_and_things_where_it_is_empty() -> None:
    scene, disc = empty_bag(), Item(lambda tile, _: tile.disc((0, 0), 1, 1, "steel"), 2)
    scene.depth[:, :, 200:] = 5
    drawn = scene.draw(disc, Pose(5.0))
    places = [scene.axes @ scene.place(drawn, 12) for _ in range(20)]
    assert np.mean([x < 0 for x, _ in places]) > 0.9
    masks = [scene.hide(disc, Pose(5.0)) for _ in range(20)]
    rows, columns = np.array([np.argwhere(mask).mean(axis=0) for mask in masks]).T
    assert min(np.ptp(rows), np.ptp(columns)) > 100


def test_balls_and_shells_have_their_thickness() -> None:
    water, ball, shell = attenuation("water")[0], tile(), tile()
    ball.ball((0, 0), (2, 2, 1), "water")
    assert ball.finished()[0].max() / water == pytest.approx(2, rel=0.02)
    shell.shell([(-2, -2), (2, -2), (2, 2), (-2, 2)], 0.3, 2, "water")
    depth = shell.finished()[0]
    assert depth[len(depth) // 2, len(depth) // 2] / water == pytest.approx(0.6, rel=0.02)


def test_parcels_hold_full_weapons_and_some_bags_two_threats() -> None:
    assert [CYCLE[place] for place in PARCEL_PLACES] == [None, "full_weapon"]
    assert any(len(begin_scan(0, number)[1]) == 2 for number in range(6, 200, 10))


def test_other_code_renders_the_scans_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = coco.run_key(1)
    monkeypatch.setattr(coco, "code_digest", lambda _: "other")
    assert coco.run_key(1) != before
