"""Screening on Ray itself, with Ray's own processes."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.scans.sources.masks import SIXRAY, MasksSource
from pipeline.screening.on_ray import screen_on_ray
from pipeline.screening.records import Records, ScreenedFile
from pipeline.screening.screen import FolderScreener, Options
from tests.on_ray.conftest import ON_RAY
from tests.tiny_model import make_model

pytestmark = ON_RAY


def test_workers_find_the_same(
    session: None, sixray: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sixray.parent)
    source = MasksSource(Path(sixray.name), SIXRAY, stretched=True)
    (sixray / "threat" / "broken.png").write_bytes(b"none")
    model = make_model()

    def screened(out: str, options: Options) -> dict[str, ScreenedFile]:
        FolderScreener(Path(sixray.name), model, {}, tmp_path / out, options).screen()
        return {file.file: replace(file, seconds=0) for file in Records(tmp_path / out)}

    def on_two(*given: object) -> object:
        return screen_on_ray(*given, workers=2)

    here = screened("here", Options(0.3, source))
    there = screened("there", Options(0.3, source, on_two))
    assert there.keys() == here.keys()
    assert len(there) > 10
    for name, file in here.items():
        other = there[name]
        assert other.p_value == pytest.approx(file.p_value, rel=1e-3)
        assert other.on_threat == file.on_threat
        for folder in ("heat", "page"):
            assert (tmp_path / "there" / folder / f"{name}.png").exists()
