"""Evidence of larger windows, and of a window among those of its own bag (README.md).

    python -m experiments.detection.scales --patches data/patches --scans data/scans
    python -m experiments.detection.scales --patches data/patches --scans data/scans --projected
    python -m experiments.detection.scales --patches data/patches --scans data/scans --test

A larger window has 96 or 128 pixels around the centre of a window of 64. It has the same 32 terms
(method granulometry) and their p-values among training normals of its size; labels are those of the
64 pixels. *Context*: the terms' p-values among the windows of the window's own bag, without labels.
Scores fuse all terms of their groups by Fisher's rule. Reads the scans at the paths in the
catalogue, so it has to start in the folder where the stage `scans` did.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from experiments.detection.compare import laid_over
from experiments.detection.evidence import add_window_options, chosen_windows
from experiments.detection.judging import scores_text
from experiments.detection.projection import compressed
from experiments.run import run_main
from pipeline.common.names import TRAIN, VALIDATION, Image, Patches, Scores
from pipeline.common.p_values import RightTail
from pipeline.models.attenuation import attenuation_maps
from pipeline.models.interface import MAX_REFERENCE_NORMALS
from pipeline.models.methods.granulometry.method import FEATURES
from pipeline.models.methods.granulometry.openings import granulometry
from pipeline.patches.store import PatchStore, evenly_spaced
from pipeline.scans.catalogue import read_catalogue
from pipeline.scans.images import read_image

SIDES = (64, 96, 128)  # pixels
AIR = 255  # beside scans that are smaller than a window
CHOSEN, CONTEXT = "64", "context"
CANDIDATES: Sequence[tuple[str, ...]] = (
    (CHOSEN,), ("96",), ("128",), (CHOSEN, "96"), (CHOSEN, "128"), (CHOSEN, "96", "128"),
    (CONTEXT,), (CHOSEN, CONTEXT),
)  # fmt: skip

Terms = NDArray[np.float64]  # (N, FEATURES)
Files = Mapping[str, Path]  # images, by scan
Places = tuple[NDArray[np.str_], NDArray[np.int32]]  # (N,) scans and (N, 2) origins of windows


def around(
    image: Image, origins: NDArray[np.int32], size: int, side: int
) -> tuple[Patches, NDArray[np.int32]]:
    """Return larger windows (N, side, side, C), and where in them the windows lie, (N, 2).

    A larger window has the window's centre, or is shifted into the scan; a scan that is smaller
    gets air at its bottom and right.

    Args:
        image: (H, W, C).
        origins: (N, 2) of the windows.
        size: the windows' side in pixels.
        side: the larger windows' side in pixels, `size` or more.
    """
    height, width, _ = image.shape
    missing = [(0, max(side - length, 0)) for length in (height, width)]
    padded = np.pad(image, [*missing, (0, 0)], constant_values=AIR)
    last = np.array(padded.shape[:2]) - side
    starts = np.clip(origins - (side - size) // 2, 0, last)
    cut = [padded[row : row + side, column : column + side] for row, column in starts.tolist()]
    return np.stack(cut), (origins - starts).astype(np.int32)


def terms_around(files: Files, places: Places, side: int, laid: Patches | None = None) -> Terms:
    """Return the terms of the windows of `side` pixels around the windows.

    Args:
        files: the scans.
        places: (N,) scans and (N, 2) origins of windows of 64 pixels.
        side: in pixels.
        laid: (N, S, S, C), what stands in the place of the windows; the larger windows are
            compressed after. None if the scans are judged as they are.
    """
    scan_ids, origins = places
    found = np.empty((len(scan_ids), FEATURES))
    for scan in tqdm(np.unique(scan_ids).tolist(), unit="scan"):
        rows = np.flatnonzero(scan_ids == scan)
        patches, corners = around(read_image(files[scan]), origins[rows], SIDES[0], side)
        if laid is not None:
            for patch, (row, column), over in zip(patches, corners, laid[rows], strict=True):
                patch[row : row + len(over), column : column + len(over)] = over
            patches = compressed(patches)
        found[rows] = granulometry(attenuation_maps(patches)).reshape(len(rows), -1)
    return found


def evidence_among(normals: Terms, judged: Terms) -> Terms:
    """Return -log p of each term among those of normals (M, FEATURES), in nats."""
    columns = zip(normals.T, judged.T, strict=True)
    found = [RightTail.of(values).p_values(column) for values, column in columns]
    return -np.log(np.stack(found, axis=1))


def evidence_in_bag(terms: Terms, scan_ids: NDArray[np.str_], compared: NDArray[np.bool_]) -> Terms:
    """Return -log p of each term among the windows of the window's own bag, in nats.

    p is the share of windows that reach the term; the window itself counts as one of them.

    Args:
        terms: of N windows.
        scan_ids: (N,) the bag of each.
        compared: (N,) True for windows that the others are compared with.
    """
    found = np.empty_like(terms)
    for scan in np.unique(scan_ids):
        own = scan_ids == scan
        among = np.sort(terms[own & compared], axis=0)
        itself = (~compared[own]).astype(np.intp)
        for term, values in enumerate(terms[own].T):
            below = np.searchsorted(among[:, term], values)
            p_values = (len(among) - below + itself) / (len(among) + itself)
            found[own, term] = -np.log(p_values)
    return found


def candidate_scores(evidence: Mapping[str, Terms]) -> dict[str, Scores]:
    """Return the score of each of `CANDIDATES`: the mean evidence of its groups' terms, (N,)."""
    return {
        " and ".join(names): np.mean([evidence[name].mean(axis=1) for name in names], axis=0)
        for names in CANDIDATES
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="evidence of larger windows and of the own bag")
    add_window_options(parser)
    parser.add_argument(
        "--scans", type=Path, required=True, help="folder written by the stage scans"
    )
    arguments = parser.parse_args()
    windows, laid = chosen_windows(arguments).windows, None
    compared = np.ones(len(windows.scan_ids), dtype=np.bool_)
    if arguments.projected:  # as if each threat were the only one in its bag
        _, laid, abnormal = laid_over(PatchStore(arguments.patches, VALIDATION))
        compared = ~abnormal
    train = PatchStore(arguments.patches, TRAIN)
    rows = evenly_spaced(np.arange(len(train)), MAX_REFERENCE_NORMALS)
    files = {row.scan_id: Path(row.files[0]) for row in read_catalogue(arguments.scans)}
    seen = train.scan_ids[rows], train.origins[rows]
    places = windows.scan_ids, np.asarray(windows.origins)
    terms = {side: terms_around(files, places, side, laid) for side in SIDES}
    evidence = {
        str(side): evidence_among(terms_around(files, seen, side), own)
        for side, own in terms.items()
    }
    evidence[CONTEXT] = evidence_in_bag(terms[SIDES[0]], windows.scan_ids, compared)
    print(scores_text(candidate_scores(evidence), windows, [CHOSEN]))


if __name__ == "__main__":
    run_main(main)
