"""The generated scans: their physics, that they repeat, and that a folder of them reads back."""

import colorsys
import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import xraydb
from scipy.ndimage import gaussian_filter1d

from pipeline.patches.windows import BACKGROUND_LEVEL, foreground_mask
from pipeline.scans.classes import AS_NAMED
from pipeline.scans.generated.coco import (
    generate,
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
from pipeline.scans.generated.materials import ENERGIES_KEV, MATERIALS, attenuation
from pipeline.scans.generated.packing import (
    DEPTH_CM,
    MAX_SMEAR,
    SILHOUETTE_DEPTH,
    Scene,
    lay_together,
)
from pipeline.scans.generated.shapes import Pose, Tile, rounded, smooth
from pipeline.scans.generated.textures import SIDE as TEXTURE_SIDE
from pipeline.scans.generated.textures import Textures
from pipeline.scans.generated.xray_detector import (
    AIR,
    BLUR,
    DISPLAY_GAMMA,
    LINE_GAIN,
    NEUTRAL_Z,
    PALETTE,
    PHOTONS,
    SCATTER,
    Floats,
    brightness,
    effective_z,
    expose,
    readings,
)
from pipeline.scans.images import read_image
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


def tile(angle: float = 0.0, squash: float = 1.0, mirrored: bool = False) -> Tile:
    rng = np.random.default_rng(SEED)
    return Tile(4.0, Pose(10.0, angle, squash, mirrored), Textures(rng))


# Physics


def test_attenuation_is_that_of_the_tables() -> None:
    for energy, found in zip(ENERGIES_KEV, attenuation("steel"), strict=True):
        mass_attenuation = xraydb.mu_elam("Fe", 1000 * energy)
        assert found == pytest.approx(7.87 * mass_attenuation, rel=1e-6)


def test_pure_metals_have_the_density_of_the_tables() -> None:
    metals = {name: each for name, each in MATERIALS.items() if len(each[0]) == 2}
    assert metals.keys() == {"steel", "aluminium", "copper", "lead"}
    for formula, density in metals.values():
        assert density == pytest.approx(xraydb.atomic_density(formula), rel=0.01)


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


def test_a_piece_absorbs_by_its_thickness_at_both_energies() -> None:
    drawn = tile()
    drawn.box((0, 0), (4, 4), 0.5, "aluminium")
    drawn.box((0, 0), (2, 2), -0.2, "aluminium")
    depth = drawn.finished()
    middle = depth.shape[1] // 2
    for found, per_cm in zip(depth, attenuation("aluminium"), strict=True):
        assert found[middle, middle] == pytest.approx(0.3 * per_cm, rel=1e-5)
        assert found[middle, middle + 15] == pytest.approx(0.5 * per_cm, rel=1e-5)


def test_a_hole_takes_no_more_than_there_is() -> None:
    drawn = tile()
    drawn.box((0, 0), (2, 2), 0.5, "steel")
    drawn.box((0, 0), (4, 4), -1.0, "steel")
    assert (drawn.finished() == 0).all()


def test_a_wire_is_as_thick_as_it_is_wide_and_a_fine_one_absorbs_by_its_section() -> None:
    def thickness(radius: float) -> Floats:
        drawn = tile()
        drawn.wire([(-2, 0), (2, 0)], radius, "water")
        return np.asarray(drawn.finished()[0] / attenuation("water")[0])

    assert thickness(0.5).max() == pytest.approx(1.0, rel=0.05)
    fine, half = thickness(0.04).sum(), thickness(0.02).sum()  # both thinner than a pixel
    assert half / fine == pytest.approx(1 / 4, rel=0.01)


@pytest.mark.parametrize(
    ("turns", "squash", "mirrored", "x", "y"),
    [
        (0, 1, False, 3, 2),
        (1, 1, False, -2, 3),  # y points down, so that it is turned clockwise
        (0, 0.5, False, 3, 1),
        (1, 0.5, False, -1, 3),  # tilted first, then turned
        (0, 1, True, 3, -2),
        (1, 0.5, True, 1, 3),
    ],
)
def test_an_object_is_tilted_about_its_own_x_axis_and_then_turned(
    turns: int, squash: float, mirrored: bool, x: float, y: float
) -> None:
    plain, moved = (tile(turns * np.pi / 2, squash, mirrored) for _ in range(2))
    plain.disc((3, 2), 0.5, 1, "water")
    moved.at(3, 2).disc((0, 0), 0.5, 1, "water")
    rows, columns = np.nonzero(plain.finished()[0])
    centre = np.array([columns.mean(), rows.mean()]) - plain.depth.shape[1] / 2
    np.testing.assert_allclose(centre, (10 * x, 10 * y), atol=1)
    np.testing.assert_allclose(moved.finished(), plain.finished(), atol=1e-6)


def moments(depth: Floats) -> tuple[float, np.ndarray]:
    """The sum of what absorbs, and the covariance (2, 2) of the x and y where it does."""
    y, x = np.indices(depth.shape)
    return float(depth.sum()), np.cov(x.ravel(), y.ravel(), aweights=depth.ravel())


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0])
def test_smear_spreads_an_object_along_its_y_axis_and_absorbs_nothing_more(angle: float) -> None:
    poses = (Pose(10.0, angle, smear=smear) for smear in (0.0, 9.0))
    drawn = [Tile(4.0, pose, Textures(np.random.default_rng(0))) for pose in poses]
    for each in drawn:
        each.box((0, 0), (2, 2), 1, "water")
    (sharp, before), (smeared, after) = (moments(each.finished()[0]) for each in drawn)
    assert smeared == pytest.approx(sharp, rel=1e-4)
    sizes, axes = np.linalg.eigh(after - before)
    assert sizes[1] > 10 * abs(sizes[0])
    assert abs(axes[:, 1] @ (-np.sin(angle), np.cos(angle))) == pytest.approx(1, abs=0.03)


def test_tilt_keeps_the_volume() -> None:
    flat, tilted = tile(), tile(squash=0.5)
    for drawn in (flat, tilted):
        drawn.polygon(rounded((0, 0), 4, 4, 0.2), 1.0, "water")
    assert tilted.finished().sum() == pytest.approx(flat.finished().sum(), rel=0.05)


def test_smooth_curves_keep_their_ends_and_the_middles_of_edges() -> None:
    corner = smooth([(0, 0), (1, 0), (1, 1)], closed=False)
    assert corner[[0, -1]].tolist() == [[0, 0], [1, 1]]
    assert 2**0.5 < np.hypot(*np.diff(corner, axis=0).T).sum() < 2
    assert (np.diff(corner, axis=0) >= 0).all()  # it goes on, and not back
    x, y = smooth([(0, 0), (1, 0), (1, 1), (0, 1)]).T
    assert (x.min(), x.max(), y.min(), y.max()) == (0, 1, 0, 1)
    area = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
    assert 5 / 6 < area < 7 / 8  # of the smooth curve, and after one cut of the corners


def test_textures_are_about_1_on_average_and_of_any_size() -> None:
    textures = Textures(np.random.default_rng(SEED))
    for name in ("folds", "ribs", "grain", "weave"):
        piece = textures.cut(name, (TEXTURE_SIDE, TEXTURE_SIDE))
        assert piece.mean() == pytest.approx(1, abs=0.1)
        assert 0.02 < piece.std() < 0.5
        assert piece.min() > 0
        assert textures.cut(name, (30, TEXTURE_SIDE + 40)).shape == (30, TEXTURE_SIDE + 40)


# Scans


@pytest.fixture(scope="module")
def scans() -> list[Scan]:
    return [render_scan(SEED, number) for number in range(len(CYCLE))]


def test_the_cycle_is_six_normal_scans_and_one_of_each_class() -> None:
    assert CYCLE == (None,) * 6 + ("knife", "gun", "gun_part", "full_weapon")
    assert [threat_of(number) for number in (0, 5, 6, 19, 20)] == [
        None, None, "knife", "full_weapon", None,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_scan_is_a_function_of_seed_and_number(scans: list[Scan]) -> None:
    again = render_scan(SEED, 7)
    np.testing.assert_array_equal(again.image, scans[7].image)
    np.testing.assert_array_equal(again.regions[0].mask, scans[7].regions[0].mask)
    assert again.scan_id == scans[7].scan_id == "00007"
    other = render_scan(SEED + 1, 7).image
    assert other.shape != again.image.shape or (other != again.image).any()
    of_next_seed, of_next_number = begin_scan(SEED + 1, 0)[0].depth, begin_scan(SEED, 1)[0].depth
    assert not np.array_equal(of_next_seed, of_next_number)
    assert len({scan.image.tobytes() for scan in scans}) == len(scans)


@pytest.mark.slow
def test_regions_are_the_threats_of_the_scan(scans: list[Scan]) -> None:
    for number, scan in enumerate(scans):
        height, width = scan.image.shape[:2]
        assert min(height, width) >= 300
        assert max(height, width) <= 800
        assert {region.class_name for region in scan.regions} == {threat_of(number)} - {None}
        for region in scan.regions:
            assert region.mask.shape == (height, width)
            assert 200 < region.mask.sum() < 0.2 * height * width


@pytest.mark.slow
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


def test_a_pose_is_of_one_tilt_and_smears_by_the_depth_that_it_turns_aside() -> None:
    scene = empty_bag()
    poses = [scene.pose(0.8) for _ in range(200)]
    lean = np.arccos([pose.squash for pose in poses])
    assert lean.min() < 0.05
    assert 0.75 < lean.max() <= 0.8
    expected = np.minimum(DEPTH_CM * 5 * np.sin(lean), MAX_SMEAR)  # at 5 pixels a cm
    np.testing.assert_allclose([pose.smear for pose in poses], expected)
    assert expected.min() < 1
    assert {pose.mirrored for pose in poses} == {True, False}
    assert np.ptp([pose.angle for pose in poses]) > 6


def test_one_end_of_the_bag_is_left_empty() -> None:
    scene = empty_bag((1, 0.5))
    tile = scene.draw(Item(lambda drawn, _: drawn.disc((0, 0), 1, 1, "steel"), 2), Pose(5.0))
    places = np.array([scene.place(tile, 1) for _ in range(200)])
    assert places[:, 0].min() < -15
    assert places[:, 0].max() > 15
    assert -20 < places[:, 1].min() < -10
    assert -5 < places[:, 1].max() <= 0


def test_a_silhouette_is_where_an_object_absorbs_at_the_high_energy() -> None:
    scene, drawn = empty_bag(), np.full((2, 20, 20), 3, np.float32)
    drawn[1] = 0.5 * SILHOUETTE_DEPTH
    drawn[1, 4:9, 6:13] = 1.5 * SILHOUETTE_DEPTH
    for x, y in ((200, 200), (395, 150), (3, 399)):  # the last two lie partly beyond the edge
        before, expected = scene.depth.copy(), np.zeros((420, 420), np.bool_)
        expected[y + 4 : y + 9, x + 6 : x + 13] = True  # in an image with 10 pixels around it
        place = np.linalg.inv(scene.axes) @ (x + 0.5 - 200, y + 0.5 - 200)
        np.testing.assert_array_equal(scene.add(drawn, place), expected[10:-10, 10:-10])
        added = np.zeros((2, 420, 420), np.float32)
        added[:, y : y + 20, x : x + 20] = drawn
        np.testing.assert_allclose(scene.depth - before, added[:, 10:-10, 10:-10], atol=1e-6)


@pytest.mark.slow
def test_threats_lie_within_their_container() -> None:
    for number in (6, 7, 19, 29):  # the last two are parcels
        scene, regions = begin_scan(SEED, number)
        assert scene.is_parcel == (scene.room.max() > 37)  # cm, half of the length
        for region in regions:
            rows, columns = np.nonzero(region.mask)
            height, width = region.mask.shape
            places = np.stack([columns - width / 2, rows - height / 2])
            reach = np.abs(np.linalg.inv(scene.axes) @ places).max(axis=1)  # cm, from the middle
            assert (reach < scene.room + 0.5).all()


@pytest.mark.slow
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
    records = [scan_records(scan) for scan in scans]
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


@pytest.mark.slow
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
def test_workers_do_not_change_a_byte(tmp_path: Path) -> None:
    generate(tmp_path / "workers", SEED, 7)
    write_scans(tmp_path / "here", [render_scan(SEED, number) for number in range(7)])
    assert len(content_of(tmp_path / "here")) == 8
    assert content_of(tmp_path / "workers") == content_of(tmp_path / "here")


@pytest.mark.slow
def test_nothing_outlives_a_killed_run(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from pipeline.scans.generated.coco import generate
if __name__ == "__main__":
    generate(Path({str(tmp_path)!r}), 1, 1000)
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
    assert not (tmp_path / "annotations.json").exists()


@pytest.mark.slow
def test_the_files_of_an_earlier_run_are_removed(folder: Path, scans: list[Scan]) -> None:
    (folder / ".00006.png.99999999.tmp").touch()  # of a process that was killed
    generate(folder, SEED, 1)
    assert sorted(content_of(folder)) == ["00000.png", "annotations.json"]
    np.testing.assert_array_equal(read_image(folder / "00000.png"), scans[0].image)


@pytest.mark.parametrize("depth", [0, 2])
def test_noise_is_that_of_the_photons_and_of_each_line_s_gain(depth: float) -> None:
    found = readings(np.full((2, 400, 400), depth, np.float32), np.random.default_rng(0))
    of_lines = found.mean(axis=2, keepdims=True)
    photons = PHOTONS * np.exp(-depth)
    assert (found - of_lines).std() == pytest.approx(photons**-0.5, rel=0.05)
    assert of_lines.var() == pytest.approx(LINE_GAIN**2 + 1 / photons / 400, rel=0.15)


def test_what_passes_is_blurred_and_has_scatter_added() -> None:
    depth = np.zeros((2, 800, 40), np.float32)
    depth[0, :, 20:], depth[1, :, 20:] = 4, 3
    found = np.exp(-readings(depth, np.random.default_rng(0)).astype(np.float64))
    expected = gaussian_filter1d(np.exp(-depth[:, 0].astype(np.float64)), BLUR) + SCATTER
    np.testing.assert_allclose(found.mean(axis=1), expected, rtol=0.02)
    assert 0.03 * np.exp(-4) < SCATTER  # so that it shows


def test_the_screen_shows_the_mean_of_both_energies_sharpened() -> None:
    measured = np.zeros((2, 9, 40), np.float32)
    measured[0], measured[1] = 0.7, 0.5
    measured[:, :, 20:] += 1.0
    shown = brightness(measured)[4]
    for place, depth in ((5, 0.6), (35, 1.6)):
        assert shown[place] == pytest.approx(np.exp(-DISPLAY_GAMMA * (depth - AIR)), rel=1e-4)
    assert shown[19] > shown[5] + 0.02
    assert shown[20] < shown[35] - 0.02
    assert (brightness(np.full((2, 9, 9), AIR, np.float32)) == 1).all()


def test_the_colour_of_thin_layers_is_neutral() -> None:
    assert effective_z(np.zeros((2, 9, 9), np.float32)) == pytest.approx(NEUTRAL_Z, abs=0.01)
    thin, thick = (float(effective_z(slab("steel", cm)).mean()) for cm in (1e-4, 0.3))
    assert abs(thin - NEUTRAL_Z) < 1 < 26 - NEUTRAL_Z
    assert thick == pytest.approx(26, abs=1.5)


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


@pytest.mark.slow
def test_bags_are_packed_for_one_trip_and_parcels_with_trade_goods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: set[Item] = set()
    draw = Scene.draw

    def noted(scene: Scene, item: Item, pose: Pose) -> Floats:
        drawn.add(item)
        return draw(scene, item, pose)

    monkeypatch.setattr(Scene, "draw", noted)
    for number in (0, PARCEL_PLACES[0]):
        packed, empty = render_scan(SEED, number).image, begin_scan(SEED, number)[0].depth
        assert packed.mean() < 0.95 * expose(empty, np.random.default_rng(0)).mean()
        if number:
            assert len(drawn) >= 3
            assert drawn <= {*TRADE_GOODS}
        else:
            assert CLOTHES in drawn
            assert any(
                {kind.item for kind in kinds if kind.least} <= drawn - {CLOTHES}
                and drawn - {CLOTHES} <= {kind.item for kind in kinds}
                for kinds in ITEM_SETS.values()
            )
        drawn.clear()


@pytest.mark.slow
def test_parcels_hold_full_weapons_and_some_bags_two_threats() -> None:
    assert [CYCLE[place] for place in PARCEL_PLACES] == [None, "full_weapon"]
    assert any(len(begin_scan(0, number)[1]) == 2 for number in range(6, 200, 10))
