"""The names of the methods, and their options.

All other code of a method is in `pipeline/models/methods/<name>`. This module imports no method, so
that settings can be read without loading torch.
"""

from collections.abc import Mapping
from typing import Literal

MethodName = Literal["skip_ganomaly", "ganomaly", "egbad", "anogan", "granulometry"]
DEFAULT_METHOD: MethodName = "skip_ganomaly"

# Settings of the `model` block that only some methods have.
OPTIONS: Mapping[MethodName, frozenset[str]] = {
    "skip_ganomaly": frozenset({"latent_score"}),
    "ganomaly": frozenset(),
    "egbad": frozenset(),
    "anogan": frozenset({"search_steps"}),
    "granulometry": frozenset({"head"}),
}

GRANULOMETRY: MethodName = "granulometry"
WITHOUT_NETWORKS: frozenset[MethodName] = frozenset({GRANULOMETRY})  # so nothing is trained
