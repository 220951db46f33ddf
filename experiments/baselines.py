"""The scores that need no model, for the experiments."""

from collections.abc import Iterable

import numpy as np

from pipeline.common.names import Patches, Scores
from pipeline.evaluation.principal_components import PrincipalComponents
from pipeline.evaluation.scores import PCA
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.patches.store import PatchSource


def without_model(store: PatchSource, normals: PatchSource) -> dict[str, Scores]:
    """Return the scores that need no model; the score `pca` is fitted on `normals`."""
    components = PrincipalComponents.fit(normals)
    residual = _joined(components.residual(block) for block in store.blocks())
    return {PCA: residual, **trivial_scores(store.blocks())}


def trivial_scores(blocks: Iterable[Patches]) -> dict[str, Scores]:
    """Return the trivial scores of blocks of patches, by name; blocks are read once."""
    parts = [{name: score(block) for name, score in TRIVIAL_SCORES.items()} for block in blocks]
    return {name: _joined(p[name] for p in parts) for name in TRIVIAL_SCORES}


def _joined(parts: Iterable[Scores]) -> Scores:
    return np.concatenate([np.empty(0), *parts])
