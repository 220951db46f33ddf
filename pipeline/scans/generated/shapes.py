"""Drawing primitives: solids in cm, projected along the beam into optical depths.

Primitives add their depths, so overlapping objects absorb together. A negative thickness removes
material (a bore, a window). Points are (x, y) pairs in cm about the object's own centre.
"""

from copy import copy
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.scans.generated.materials import attenuation
from pipeline.scans.generated.textures import Textures

Floats = NDArray[np.float32]
Point = tuple[float, float]
Rng = np.random.Generator

SUBPIXEL_BITS = 4  # fractional bits of cv2's fixed-point coordinates


@dataclass(frozen=True)
class Pose:
    """The position of an object in the beam.

    Attributes:
        scale: pixels per cm.
        angle: rotation in the image plane, radians.
        squash: cosine of the rotation out of the image plane, 0 to 1: the object's y axis is
            multiplied by it, and the beam's path through the object is divided by it.
        mirrored: whether the object is seen from the other side.
        smear: pixels over which the edges of a tilted object are spread.
    """

    scale: float
    angle: float = 0.0
    squash: float = 1.0
    mirrored: bool = False
    smear: float = 0.0

    def matrix(self) -> NDArray[np.float64]:
        """Return the (2, 2) matrix from cm to pixels."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        flip = -1.0 if self.mirrored else 1.0
        turn = np.array([[cos, -sin], [sin, cos]])
        return self.scale * turn @ np.diag([1.0, flip * self.squash])


@cache
def _unit_circle(count: int) -> NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


@cache
def _unit_corners() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return unit directions of a rounded rectangle's 24 points, and the signs of its corners."""
    turn = np.linspace(0, np.pi / 2, 6) + np.arange(4)[:, None] * np.pi / 2
    directions = np.stack([np.cos(turn), np.sin(turn)], axis=2).reshape(24, 2)
    signs = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)], dtype=np.float64)
    return directions, np.repeat(signs, 6, axis=0)


def ellipse(centre: Point, rx: float, ry: float, count: int = 28) -> NDArray[np.float64]:
    """Return points (count, 2) of an ellipse."""
    return np.asarray(_unit_circle(count) * (rx, ry) + centre)


def rounded(centre: Point, width: float, height: float, radius: float) -> NDArray[np.float64]:
    """Return points (24, 2) of a rectangle with rounded corners."""
    radius = min(radius, width / 2, height / 2)
    directions, signs = _unit_corners()
    middles = signs * (width / 2 - radius, height / 2 - radius)
    return np.asarray(middles + radius * directions + centre)


def smooth(points: ArrayLike, closed: bool = True, rounds: int = 2) -> NDArray[np.float64]:
    """Smooth a polyline by Chaikin's corner cutting; the curve meets the middle of each edge."""
    curve = np.asarray(points, dtype=np.float64)
    for _ in range(rounds):
        after = np.roll(curve, -1, axis=0)
        cut = np.stack([0.75 * curve + 0.25 * after, 0.25 * curve + 0.75 * after], axis=1)
        inner = cut.reshape(-1, 2)
        curve = inner if closed else np.concatenate([curve[:1], inner[:-2], curve[-1:]])
    return curve


def _mean_chord(v: NDArray[np.float64], radius: float, half: float) -> NDArray[np.float64]:
    """Return the mean of the chord 2 sqrt(r2 - v2) of a circle over v - half to v + half, cm.

    The mean is an area of the circle, so that a wall thinner than a pixel does not alias.
    """

    def area(at: NDArray[np.float64]) -> NDArray[np.float64]:
        share = np.minimum(np.maximum(at / radius, -1), 1)
        return np.asarray(share * np.sqrt(1 - share * share) + np.arcsin(share))

    return (area(v + half) - area(v - half)) * (radius * radius / (2 * half))


class Tile:
    """The small image that one object is drawn into.

    Attributes:
        depth: (2, side, side) float32, optical depth at the low and the high energy.
        pose: how the object lies.
        textures: the scan's textures, such as cloth and grain.
    """

    def __init__(self, reach: float, pose: Pose, textures: Textures) -> None:
        """Make an empty tile; `reach`: largest distance of the object from its centre, cm."""
        self.pose = pose
        self.textures = textures
        half = int(np.ceil(reach * pose.scale)) + 3
        self._matrix = pose.matrix()
        self._origin = np.array([half, half], dtype=np.float64)
        self.depth = np.zeros((2, 2 * half, 2 * half), dtype=np.float32)

    def at(self, x: float, y: float) -> "Tile":
        """Return this tile with its origin moved by x and y cm, to draw a part there."""
        moved = copy(self)
        moved._origin = self._origin + self._matrix @ (x, y)
        return moved

    def pixels(self, points: ArrayLike) -> NDArray[np.float64]:
        """Convert points (N, 2) in cm to pixels of the tile."""
        moved: NDArray[np.float64] = np.asarray(points, dtype=np.float64) @ self._matrix.T
        return moved + self._origin

    def polygon(
        self, points: ArrayLike, thickness: float, material: str, texture: str | None = None
    ) -> None:
        """Draw a flat piece of even thickness in cm, or of uneven thickness by a texture."""
        cover, place = self._cover(self.pixels(points), None)
        if texture is not None:
            cover *= self.textures.cut(texture, cover.shape)
        self._add(cover, place, thickness, material)

    def box(
        self, centre: Point, size: Point, thickness: float, material: str, corner: float = 0.1
    ) -> None:
        """Draw a flat rounded rectangle."""
        self.polygon(rounded(centre, size[0], size[1], corner), thickness, material)

    def disc(self, centre: Point, radius: float, thickness: float, material: str) -> None:
        """Draw a coin, washer or can seen from above."""
        self.polygon(ellipse(centre, radius, radius), thickness, material)

    def shell(self, points: ArrayLike, wall: float, depth: float, material: str) -> None:
        """Draw a closed case: two walls seen flat, and a rim of `depth` along the beam, in cm."""
        self.polygon(points, 2 * wall, material)
        self.wire(points, wall / 2, material, closed=True, thickness=depth)

    def wire(
        self,
        points: ArrayLike,
        radius: float,
        material: str,
        closed: bool = False,
        thickness: float | None = None,
    ) -> None:
        """Draw a round wire along a polyline or, with `thickness`, a strip standing on edge."""
        width = 2 * radius * self.pose.scale
        drawn = max(round(width), 1)
        # cv2 draws no line thinner than a pixel, so a thinner wire is drawn fainter.
        mean = (np.pi / 2 * radius if thickness is None else thickness) * min(width / drawn, 1.5)
        pixels = self.pixels(points)
        if drawn < 4 or thickness is not None:
            self._add(*self._cover(pixels, drawn, closed), mean, material)
            return
        for share in (1.0, 0.8, 0.5):  # nested strips approximate the round profile
            line = self._cover(pixels, max(round(drawn * share), 1), closed)
            self._add(*line, mean * 0.43, material)

    def rod(
        self, start: Point, end: Point, radius: float, material: str, bore: float = 0.0
    ) -> None:
        """Draw a cylinder in the image plane, 2 sqrt(r2 - d2) thick; `bore`: inner radius."""
        axis = np.subtract(end, start)
        length = float(np.hypot(*axis))
        along, side = axis / length, np.array([-axis[1], axis[0]]) / length
        corners = [np.add(p, s * radius * side) for p in (start, end) for s in (-1, 1)]
        x, y, place = self._local(corners)
        u = (x - start[0]) * along[0] + (y - start[1]) * along[1]
        v = (x - start[0]) * side[0] + (y - start[1]) * side[1]
        ends = np.clip((length / 2 - np.abs(u - length / 2)) * self.pose.scale + 0.5, 0, 1)
        chord = _mean_chord(v, radius, 0.5 / self.pose.scale)
        if bore > 0:
            chord -= _mean_chord(v, bore, 0.5 / self.pose.scale)
        self._add((chord * ends).astype(np.float32), place, 1.0, material)

    def ball(self, centre: Point, radii: tuple[float, float, float], material: str) -> None:
        """Draw an ellipsoid with half axes x, y and, along the beam, z."""
        rx, ry, rz = radii
        x, y, place = self._local(rounded(centre, 2 * rx, 2 * ry, 0))
        inside = 1 - ((x - centre[0]) / rx) ** 2 - ((y - centre[1]) / ry) ** 2
        chord = np.sqrt(np.maximum(inside, 0)).astype(np.float32)
        self._add(chord, place, 2 * rz, material)

    def finished(self) -> Floats:
        """Return the depths (2, side, side), 0 or more, smeared by the pose's tilt."""
        length = int(self.pose.smear)
        if length > 1:
            kernel = np.zeros((length, length), dtype=np.float32)
            middle = (length - 1) / 2
            reach = middle * np.array([-np.sin(self.pose.angle), np.cos(self.pose.angle)])
            first, last = np.rint(middle - reach), np.rint(middle + reach)
            cv2.line(kernel, first.astype(int).tolist(), last.astype(int).tolist(), 1.0)
            kernel /= kernel.sum()
            self.depth = np.stack([cv2.filter2D(row, -1, kernel) for row in self.depth])
        return np.maximum(self.depth, 0)

    def _add(self, cover: Floats, place: tuple[slice, slice], cm: float, material: str) -> None:
        low, high = attenuation(material)
        through = cm / self.pose.squash
        self.depth[0][place] += (low * through) * cover
        self.depth[1][place] += (high * through) * cover

    def _place(self, pixels: NDArray[np.float64], margin: int) -> tuple[slice, slice]:
        """Return the rows and columns of the tile that hold these pixels, with a margin."""
        side = self.depth.shape[1]
        (left, top), (right, bottom) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()

        def span(low: float, high: float) -> slice:
            start = min(max(int(low) - margin, 0), side - 1)
            return slice(start, max(min(int(high) + margin + 2, side), start + 1))

        return span(top, bottom), span(left, right)

    def _cover(
        self, pixels: NDArray[np.float64], width: int | None, closed: bool = True
    ) -> tuple[Floats, tuple[slice, slice]]:
        """Return the share of pixels, 0 to 1, in a polygon (or line of a width), and the place."""
        place = self._place(pixels, 1 if width is None else width + 1)
        rows, columns = place
        cover = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=np.uint8)
        shifted = (pixels - (columns.start, rows.start)) * 2**SUBPIXEL_BITS
        line = [np.rint(shifted).astype(np.int32)]
        if width is None:
            cv2.fillPoly(cover, line, 255, cv2.LINE_AA, SUBPIXEL_BITS)
        else:
            cv2.polylines(cover, line, closed, 255, width, cv2.LINE_AA, SUBPIXEL_BITS)
        return np.asarray(cover, dtype=np.float32) / np.float32(255), place

    def _local(
        self, corners: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[slice, slice]]:
        """Return the coordinates in cm of the pixels around `corners`, and the pixels' place."""
        place = self._place(self.pixels(corners), 1)
        rows = np.arange(place[0].start, place[0].stop)[:, None] - self._origin[1]
        columns = np.arange(place[1].start, place[1].stop)[None, :] - self._origin[0]
        inverse = np.linalg.inv(self._matrix)
        x = inverse[0, 0] * columns + inverse[0, 1] * rows
        y = inverse[1, 0] * columns + inverse[1, 1] * rows
        return x, y, place
