"""MLflow stores in a folder of a test's own."""

from pathlib import Path

import pytest

from pipeline.tracking.tracker import Tracker


def tracker_in(folder: Path, patch: pytest.MonkeyPatch) -> Tracker:
    """Open the store of a project in `folder`, for as long as `patch` lasts."""
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.setenv("DVC_ROOT", str(folder))
    return Tracker.open()
