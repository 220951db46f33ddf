"""A pickle that shows whether it was run."""

import os
from collections.abc import Callable
from pathlib import Path


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return os.mkdir, (self.proof,)
