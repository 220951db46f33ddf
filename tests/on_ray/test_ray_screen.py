"""Screening on Ray itself, with Ray's own processes."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray

from pipeline.cluster import tasks
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from pipeline.screening.folder_screener import FolderScreener, ScreeningOptions
from pipeline.screening.on_ray import screen_on_ray
from pipeline.screening.records import Records, ScreenedFile
from tests.on_ray.conftest import ON_RAY
from tests.tiny import make_sixray
from tests.tiny_model import make_model

pytestmark = ON_RAY


def test_a_worker_that_cannot_write_raises_as_one_process_does(
    session: None, tmp_path: Path
) -> None:
    scans, out = make_sixray(tmp_path / "in", normal=2, threat=0), tmp_path / "out"
    options = ScreeningOptions(0.3, None, partial(screen_on_ray, workers=2))
    screener = FolderScreener(scans, make_model(), {}, out, options)
    (out / "heat").write_text("not a folder")
    with pytest.raises(OSError, match="heat") as error:
        screener.screen()
    assert "ray" not in str(error.value)


def test_nodes_that_do_not_see_the_working_folder_screen_nothing(
    session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, options, pinned = Path.cwd(), tasks._run.options, list[str]()

    def note(scheduling_strategy: Any) -> Any:
        pinned.append(scheduling_strategy.node_id)
        return options(scheduling_strategy=scheduling_strategy)

    monkeypatch.setattr(tasks, "is_on_every_node", lambda path: path != root)
    monkeypatch.setattr(tasks._run, "options", note)
    scans = make_sixray(tmp_path / "in", normal=2, threat=0)
    screening = ScreeningOptions(0.3, None, partial(screen_on_ray, workers=2))
    FolderScreener(scans, make_model(), {}, tmp_path / "out", screening).screen()
    assert pinned == [ray.get_runtime_context().get_node_id()]


def test_workers_find_the_same(
    session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = make_sixray(tmp_path / "in", normal=8, threat=4)
    (scans / "normal" / "broken.png").write_bytes((scans / "normal/n00.png").read_bytes()[:500])
    monkeypatch.chdir(tmp_path)  # the paths below are relative to it, the workers' are not
    source = MasksSource(Path("in"), SIXRAY, stretched=True)
    model = make_model()

    def screened(out: str, options: ScreeningOptions) -> dict[str, ScreenedFile]:
        FolderScreener(Path("in"), model, {}, Path(out), options).screen()
        return {file.file: replace(file, seconds=0) for file in Records(Path(out))}

    here = screened("here", ScreeningOptions(0.3, source))
    there = screened("there", ScreeningOptions(0.3, source, partial(screen_on_ray, workers=2)))
    assert there.keys() == here.keys()
    assert len(there) == 13
    assert there["normal/broken.png"] == here["normal/broken.png"]
    for name, file in here.items():
        assert there[name].p_value == pytest.approx(file.p_value, rel=1e-3)
        assert (there[name].on_threat, there[name].classes) == (file.on_threat, file.classes)
        if not file.reason:
            assert (tmp_path / "there/heat" / f"{name}.png").exists()
