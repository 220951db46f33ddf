"""The stage `scans`, for the tests of whole sets."""

from pathlib import Path

import pytest

from tests.sources.sets import Stage


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)
