"""The fuzzer finds what readers may not do, and what it found stays mended."""

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import Phase, given, seed, settings

from fuzz.__main__ import Report, fuzz
from fuzz.mutations import damaged
from fuzz.target import Target
from fuzz.targets import TARGETS
from fuzz.worker import Worker, outcome_of
from pipeline.common.errors import InputError

CORPUS = sorted((Path(__file__).parent / "fuzz_corpus").iterdir())


def valid() -> list[bytes]:
    return [b"read"]


def faulty(content: bytes, folder: Path) -> None:
    (folder / "a").write_bytes(content)
    match content:
        case b"refuse":
            raise InputError("a: wrong")
        case b"lines":
            raise InputError("a: wrong\nhere")
        case b"raise":
            raise KeyError("a")
        case b"die":
            os.abort()
        case b"slow":
            end = time.process_time() + 2.1
            while time.process_time() < end:
                pass
        case b"large":
            bytes(70 * 2**20)[::4096]
            bytearray(70 * 2**20).replace(b"\0", b"\1")


@pytest.mark.slow  # processes that die and are started again
def test_the_worker_names_what_a_reader_may_not_do() -> None:
    with Worker(Target(valid, faulty, 64)) as worker:
        assert worker.run(b"read") == (False, None)
        assert worker.run(b"refuse") == (True, None)
        assert worker.run(b"lines") == (True, "an error of several lines")
        refused, fault = worker.run(b"raise")
        assert (refused, str(fault).partition(":")[0]) == (False, "KeyError at test_fuzz.py")
        assert worker.run(b"die") == (False, "the process died, exit code -6")
        assert worker.run(b"slow") == (False, "more than 2 s of processor time")
        assert worker.run(b"large") == (False, "more than 64 MB of memory")
        assert worker.run(b"read") == (False, None)


@pytest.mark.slow
def test_a_short_run_finds_no_fault() -> None:
    found = fuzz(TARGETS["coco"], 2)
    assert found.counts["refused"] > 0
    assert not found.faults


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_hundred_inputs_find_no_fault(name: str, tmp_path: Path) -> None:
    """In this process: `make fuzz` starts one for each target, which takes seconds."""
    target, found = TARGETS[name], Report()

    @seed(0)
    @settings(max_examples=100, phases=[Phase.generate], database=None)
    @given(damaged(target, target.valid()))
    def try_all(content: bytes) -> None:
        found.add(content, *outcome_of(target, content, tmp_path / "in"))

    try_all()
    assert found.counts["refused"] > 0
    assert not found.faults


@pytest.mark.parametrize("name", TARGETS)
def test_the_valid_files_are_read(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    for number, content in enumerate(target.valid()):
        assert target.mend(content) == content
        (tmp_path / str(number)).mkdir()
        target.read(content, tmp_path / str(number))


@pytest.mark.timeout(20)  # one of them was read without end
@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_what_was_found_stays_mended(path: Path, tmp_path: Path) -> None:
    names = [name for name in TARGETS if path.name.startswith(f"{name}-")]
    with suppress(InputError):  # another error is a fault
        TARGETS[max(names, key=len)].read(path.read_bytes(), tmp_path)
