"""One-sided evidence of windows: which terms, radii and rule tell threats (README.md).

    python -m experiments.detection.evidence --patches data/patches                # labelled scans
    python -m experiments.detection.evidence --patches data/patches --projected    # normal scans
    python -m experiments.detection.evidence --patches data/patches --test --candidates all

The tails are of training normals. By default the windows of the labelled validation scans are
judged; `--projected` lays threats over validation normals; `--test` judges the test part, once for
each finished candidate. `--model` adds the terms of a trained network, of the same patches.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.detection.compare import Judged, labelled, with_projected
from experiments.detection.judging import Windows, scores_text
from pipeline.common.errors import InputError
from pipeline.common.names import TEST, TRAIN, Patches, Scores
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.models.detector import Detector, TrainedModel
from pipeline.models.evidence import RULES, Evidence
from pipeline.models.granulometry import granulometry, pixel_terms
from pipeline.patches.store import PatchSource, PatchStore, read_rows, spread

MOST_NORMALS = 16384  # training normals that tails are of
BLOCK = 512
SIGNED_RADII = (0, 1, 2, 3, 4)
NETWORK = ("residual", "latent", "signed")

Terms = Mapping[str, Scores]


def _is_map(*maps: str) -> Callable[[str], bool]:
    return lambda name: name.split("_")[0] in maps


def _radius(low: int, high: int) -> Callable[[str], bool]:
    return lambda name: _is_opened(name) and low <= int(name.rsplit("_", 1)[1]) <= high


def _is_opened(name: str) -> bool:
    return _is_map("metal", "dense", "attenuation", "hue")(name)


CANDIDATES: dict[str, Callable[[str], bool]] = {
    "all": lambda _: True,
    "no texture": _is_opened,
    "texture": lambda name: not _is_opened(name),
    "metal": _is_map("metal"),
    "dense": _is_map("dense"),
    "attenuation": _is_map("attenuation"),
    "hue": _is_map("hue"),
    "metal and dense": _is_map("metal", "dense"),
    "means": lambda name: _is_opened(name) and "_mean_" in name,
    "maxima": lambda name: _is_opened(name) and "_max_" in name,
    "radii 0 to 2": _radius(0, 2),
    "radii 2 to 4": _radius(2, 4),
    "radii 4 to 10": _radius(4, 10),
    "radii 0 to 4": _radius(0, 4),
}


def network_terms(detector: Detector, patches: Patches) -> Terms:
    """Return the terms of a network: its own, and openings of what is denser than x_hat says."""
    x_hat = detector.reconstruct(patches).astype(np.int16)
    denser = np.maximum(x_hat - patches, 0).mean(axis=3, keepdims=True).astype(np.uint8)
    own = detector.score([patches]).terms
    return {**own, **granulometry(list(denser), ["signed"], SIGNED_RADII)}


def terms_of(store: PatchSource, rows: np.ndarray, detector: Detector | None) -> Terms:
    """Return every term of some patches of a store."""
    parts = []
    for start in tqdm(range(0, len(rows), BLOCK), unit="block"):
        patches = read_rows(store, rows[start : start + BLOCK])
        found = dict(pixel_terms(patches))
        found |= {name: score(patches) for name, score in TRIVIAL_SCORES.items()}
        if detector:
            found |= network_terms(detector, patches)
        parts.append(found)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def evidence_scores(normals: Terms, judged: Terms, candidates: list[str]) -> dict[str, Scores]:
    """Return the fused score of each candidate by each rule; with a network, also without it."""
    scores = {}
    trivial = set(TRIVIAL_SCORES)
    network = {name for name in normals if name.split("_")[0] in NETWORK}
    for candidate in candidates:
        chosen = [name for name in normals if name not in trivial | network]
        chosen = [name for name in chosen if CANDIDATES[candidate](name)]
        for rule in RULES:
            kept = {name: normals[name] for name in chosen}
            scores[f"{candidate}, {rule}"] = Evidence.of(kept).score(judged, rule)
            if network:
                kept = {name: normals[name] for name in (*chosen, *sorted(network))}
                with_network = Evidence.of(kept).score(judged, rule)
                scores[f"{candidate} and network, {rule}"] = with_network
    return scores


def tested(folder: Path) -> Judged:
    """Return the windows of the test part."""
    store = PatchStore(folder, TEST)
    return Judged(store, Windows(~store.is_normal(), store.scan_ids, store.origins, store.side))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="one-sided evidence, by candidate and rule")
    parser.add_argument("--patches", type=Path, required=True, help="what extract left")
    parser.add_argument("--projected", action="store_true", help="lay threats over normals")
    parser.add_argument("--test", action="store_true", help="judge the test part")
    parser.add_argument("--model", type=Path, help="a trained model, for the network's terms")
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES))
    given = parser.parse_args()
    detector = TrainedModel.load(given.model).detector() if given.model else None
    judged = (with_projected if given.projected else tested if given.test else labelled)(
        given.patches
    )
    store = PatchStore(given.patches, TRAIN)
    normals = terms_of(store, spread(np.arange(len(store)), MOST_NORMALS), detector)
    found = terms_of(judged.store, np.arange(len(judged.store)), detector)
    scores = {name: found[name] for name in TRIVIAL_SCORES}
    scores |= evidence_scores(normals, found, given.candidates)
    print(scores_text(scores, judged.windows, ["metal_amount"]))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
