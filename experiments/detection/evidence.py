"""One-sided evidence of windows: which terms and rule tell threats, and what a network adds.

    python -m experiments.detection.evidence --patches data/patches                # labelled scans
    python -m experiments.detection.evidence --patches data/patches --projected    # normal scans
    python -m experiments.detection.evidence --patches data/patches --test --candidates chosen

The tails are of training normals. By default the windows of the labelled validation scans are
judged; `--projected` lays threats over validation normals; `--test` judges the test split, once for
each finished candidate. If no test scan is without a threat, windows of validation scans stand in
for those. `--matched` blurs and compresses every window first, so that no score can tell sessions
of scanning apart by their sharpness. `--networks` trains Skip-GANomaly with each of the seeds, and
adds rows with its terms.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from experiments.array_store import ArrayStore
from experiments.detection.compare import Judged, labelled, trained, with_projected
from experiments.detection.judging import WindowLabels, scores_text
from experiments.detection.projection import compressed
from experiments.detection.rules import RULES, p_values
from experiments.detection.terms import pixel_terms
from experiments.paper.cells import SEEDS, Size, settings_of
from experiments.paper.table2 import store_of
from experiments.run import run_main
from pipeline.common.names import TEST, TRAIN, VALIDATION, Patches, Scores
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.models.detector import Detector
from pipeline.models.interface import MAX_REFERENCE_NORMALS
from pipeline.models.methods.granulometry.openings import granulometry
from pipeline.patches.store import PatchSource, PatchStore, evenly_spaced, read_rows
from pipeline.settings.methods import DEFAULT_METHOD

BLOCK = 512  # patches
MAX_VALIDATION = 8192  # windows that stand in for normal test scans
BLUR = 1.0  # sigma, pixels, of --matched
SIGNED_RADII = (0, 1, 2, 4)
CHOSEN = "chosen"  # the terms of the method granulometry
NETWORK_SIZE = Size(ngf=16, epochs=1, learning_rate=1e-3)  # `share` is for large sets
MAX_TRAINING = 16384  # windows

Terms = Mapping[str, Scores]


def _is_map(*maps: str) -> Callable[[str], bool]:
    return lambda name: name.split("_")[0] in maps


def _of(kind: str) -> Callable[[str], bool]:
    return lambda name: _chosen(name) and f"_{kind}_" in name


def _radius(low: int, high: int) -> Callable[[str], bool]:
    return lambda name: _chosen(name) and low <= int(name.rsplit("_", 1)[1]) <= high


_chosen = _is_map("metal", "dense")
_is_opened = _is_map("metal", "dense", "attenuation", "hue")

CANDIDATES: dict[str, Callable[[str], bool]] = {
    CHOSEN: _chosen,
    "metal": _is_map("metal"),
    "dense": _is_map("dense"),
    "means": _of("mean"),
    "maxima": _of("max"),
    "radii 0 to 2": _radius(0, 2),
    "radii 0 to 4": _radius(0, 4),
    "radii 4 to 10": _radius(4, 10),
    "and attenuation": _is_map("metal", "dense", "attenuation"),
    "and hue": _is_map("metal", "dense", "hue"),
    "and texture": lambda name: _chosen(name) or not _is_opened(name),
    "all": lambda _: True,
}


def network_terms(detector: Detector, patches: Patches) -> Terms:
    """Return a network's terms: its own, and openings of the pixels that are denser than x_hat."""
    x_hat = np.asarray(detector.reconstruct(patches), dtype=np.int16)
    denser = np.maximum(x_hat - patches, 0).mean(axis=3, keepdims=True)
    found = granulometry(denser.astype(np.uint8), SIGNED_RADII)[:, 0, 1].astype(np.float64)
    signed = {f"signed_{r}": found[:, k] for k, r in enumerate(SIGNED_RADII)}
    return {**detector.score([patches]).terms, **signed}


def read_in_blocks(store: PatchSource, rows: np.ndarray) -> Iterator[Patches]:
    """Yield the patches in these rows of a store, `BLOCK` at a time, and show the progress."""
    for start in tqdm(range(0, len(rows), BLOCK), unit="block"):
        yield read_rows(store, rows[start : start + BLOCK])


def terms_of(
    store: PatchSource, rows: np.ndarray, detectors: Mapping[str, Detector], *, matched: bool
) -> Terms:
    """Return every term of some patches of a store; a network's begin with its name."""
    parts = []
    for block in read_in_blocks(store, rows):
        patches = softened(block) if matched else block
        found = dict(pixel_terms(patches))
        found |= {name: score(patches) for name, score in TRIVIAL_SCORES.items()}
        for network, detector in detectors.items():
            own = network_terms(detector, patches)
            found |= {f"{network} {name}": values for name, values in own.items()}
        parts.append(found)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def softened(patches: Patches) -> Patches:
    """Return patches (N, S, S, C) uint8 blurred and compressed, all alike."""
    blurred = [cv2.GaussianBlur(patch, (0, 0), BLUR) for patch in patches]
    return compressed(np.stack(blurred).reshape(patches.shape))


def evidence_scores(
    normals: Terms, judged: Terms, candidates: Sequence[str], networks: Sequence[str] = ()
) -> dict[str, Scores]:
    """Return the fused score of each candidate by each rule; the chosen one with each network."""
    found = p_values({n: v for n, v in normals.items() if n not in TRIVIAL_SCORES}, judged)
    own = {network: [n for n in found if n.startswith(f"{network} ")] for network in networks}
    pixels = [name for name in found if not any(name in names for names in own.values())]

    def fused(names: Sequence[str], rule: str) -> Scores:
        return RULES[rule](np.stack([found[name] for name in names]))

    scores = {
        f"{candidate}, {rule}": fused([n for n in pixels if CANDIDATES[candidate](n)], rule)
        for candidate in candidates
        for rule in RULES
    }
    chosen = [name for name in pixels if _chosen(name)]
    for network, names in own.items():
        scores[f"{network} alone, fisher"] = fused(names, "fisher")
        scores[f"{CHOSEN} and {network}, fisher"] = fused([*chosen, *names], "fisher")
    return scores


def uniformity_text(normals: Terms, validation: Terms) -> str:
    """Return a line: the share of validation normals at p-values of 0.05 and 0.01, over terms."""
    found = p_values({n: v for n, v in normals.items() if _chosen(n)}, validation)
    rows = []
    for level in (0.05, 0.01):
        shares = [float((values <= level).mean()) for values in found.values()]
        median, highest = np.median(shares), max(shares)
        rows.append(f"p <= {level:g}: median {median:.3f}, highest {highest:.3f}")
    return f"validation normals, by term: {'; '.join(rows)}"


def from_test(folder: Path) -> Judged:
    """Return the test windows; if no test scan is normal, some of validation scans as well."""
    store = PatchStore(folder, TEST)
    windows = WindowLabels.read(store)
    if windows.normal_scans():
        return Judged(store, windows)
    validation = PatchStore(folder, VALIDATION)
    rows = evenly_spaced(np.arange(len(validation)), MAX_VALIDATION)
    patches = np.concatenate([store.read(0, len(store)), read_rows(validation, rows)])
    return Judged(
        ArrayStore(folder, TEST, patches),
        WindowLabels(
            np.concatenate([windows.abnormal, np.zeros(len(rows), dtype=np.bool_)]),
            np.concatenate([windows.scan_ids, validation.scan_ids[rows]]),
            np.concatenate([store.origins, validation.origins[rows]]),
            store.side,
        ),
    )


def add_window_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which windows are judged."""
    parser.add_argument(
        "--patches", type=Path, required=True, help="folder written by the stage extract"
    )
    parser.add_argument("--projected", action="store_true", help="lay threats over normals")
    parser.add_argument("--test", action="store_true", help="judge the test split")


def chosen_windows(arguments: argparse.Namespace) -> Judged:
    """Return the windows that the options of `add_window_options` say."""
    read = with_projected if arguments.projected else from_test if arguments.test else labelled
    return read(arguments.patches)


def networks_of(folder: Path, seeds: Sequence[int]) -> dict[str, Detector]:
    """Train Skip-GANomaly on the training normals, with each of the seeds."""
    share = min(1.0, MAX_TRAINING / len(PatchStore(folder, TRAIN)))
    normals, validation = store_of(folder, TRAIN, share), PatchStore(folder, VALIDATION)
    return {
        f"network {seed}": trained(
            settings_of(DEFAULT_METHOD, NETWORK_SIZE, seed), normals, validation
        )
        for seed in seeds
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="one-sided evidence, by candidate and rule")
    add_window_options(parser)
    parser.add_argument("--matched", action="store_true", help="blur and compress every window")
    parser.add_argument("--networks", action="store_true", help="add the terms of a network")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="of the networks")
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES))
    arguments = parser.parse_args()
    folder, matched, judged = arguments.patches, arguments.matched, chosen_windows(arguments)
    networks = networks_of(folder, arguments.seeds) if arguments.networks else {}
    train, validation = PatchStore(folder, TRAIN), PatchStore(folder, VALIDATION)
    rows = evenly_spaced(np.arange(len(train)), MAX_REFERENCE_NORMALS)
    normals = terms_of(train, rows, networks, matched=matched)
    found = terms_of(judged.store, np.arange(len(judged.store)), networks, matched=matched)
    seen = evenly_spaced(np.arange(len(validation)), MAX_REFERENCE_NORMALS)
    scores = {name: found[name] for name in TRIVIAL_SCORES}
    scores |= evidence_scores(normals, found, arguments.candidates, list(networks))
    print(scores_text(scores, judged.windows, ["metal_amount", f"{CHOSEN}, fisher"]))
    print(uniformity_text(normals, terms_of(validation, seen, {}, matched=matched)))


if __name__ == "__main__":
    run_main(main)
