"""Extraction on Ray itself, with Ray's own processes."""

from pathlib import Path

import pytest

from pipeline.common.errors import InputError
from pipeline.patches.cutting import ShardResult, cut_shard
from pipeline.patches.extract_on_ray import cut_on_ray
from pipeline.patches.extraction import plan
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from tests.on_ray.conftest import ON_RAY
from tests.tiny import EXTRACT

pytestmark = ON_RAY


def test_the_same_bytes_as_in_one_process(
    session: None, sixray: Path, catalogue: list[CatalogueRow], tmp_path: Path
) -> None:
    source = MasksSource(sixray, SIXRAY, stretched=True)
    recipe, jobs = plan(tmp_path / "ray", catalogue, source, EXTRACT)
    there = sorted(cut_on_ray(recipe, jobs), key=lambda result: result.file)
    recipe, jobs = plan(tmp_path / "here", catalogue, source, EXTRACT)
    here = sorted((cut_shard(recipe, *job) for job in jobs), key=lambda result: result.file)
    assert there == here
    assert len(contents(tmp_path / "here", here)) == len(jobs) > 4
    assert contents(tmp_path / "ray", there) == contents(tmp_path / "here", here)


def test_what_a_worker_refuses_is_said_in_one_line(
    session: None, sixray: Path, catalogue: list[CatalogueRow], tmp_path: Path
) -> None:
    recipe, jobs = plan(
        tmp_path / "patches", catalogue, MasksSource(sixray, SIXRAY, stretched=True), EXTRACT
    )
    (tmp_path / "patches").write_text("not a folder")
    with pytest.raises(InputError, match=r"/patches: cannot be written \(.*folder and") as error:
        list(cut_on_ray(recipe, jobs))
    assert "\n" not in str(error.value)


def contents(folder: Path, results: list[ShardResult]) -> dict[str, bytes]:
    return {result.file: (folder / result.file).read_bytes() for result in results}
