from pathlib import Path

import numpy as np
import pytest

from pipeline.scans.account import account_of, count_files
from pipeline.scans.bad_input import BadInput
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.classes import ClassMap
from pipeline.scans.scan import Listing, ScanEntry, SetFiles
from pipeline.scans.survey import HASH_SIDE, Survey, SurveyedScan

MEANING = ClassMap({"gun": "weapon", "cup": "normal", "dirt": "ignore"}).meaning
FORMAT = "neither an image nor an annotation of this format"


def entry(name: str, *classes: str) -> ScanEntry:
    return ScanEntry(name, (Path(f"{name}.png"),), classes)


def row(name: str, split: str, *classes: str) -> CatalogueRow:
    return CatalogueRow(name, split, classes, (), ())


def surveyed(*entries: ScanEntry, objects: list[dict[str, int]], bad: tuple[str, ...]) -> Survey:
    facts = b"", np.zeros(HASH_SIDE**2, dtype=np.bool_), 3
    scans = [SurveyedScan(e, *facts, o, ()) for e, o in zip(entries, objects, strict=True)]
    return Survey(scans, [BadInput(b, "torn") for b in bad])


def paths(*names: str) -> tuple[Path, ...]:
    return tuple(map(Path, names))


FILES = SetFiles(
    Path("set"),
    paths(*(f"{name}.png" for name in "abcdef"), "mask.png", "torn.png", "unused.png"),
    paths("Make", "README.MD", "a.txt", "b.txt", "bad.xml", "list.txt", "no.md", "notes.md"),
    paths("set/.b", ".a"),
    (BadInput("link.png", "a link"), BadInput("fifo", "a FIFO")),
)
LISTING = Listing(
    FILES,
    [],
    [BadInput("b.txt", "torn"), BadInput("bad.xml", "torn")],
    annotations=frozenset(map(Path, ("a.txt", "b.txt", "list.txt"))),
    ignored={Path("mask.png"): "a mask", Path("list.txt"): "never said", Path("no.md"): "prose"},
    notes={"z of a kind": 2, "a of a kind": 10},
)
FOUND = surveyed(
    entry("a", "weapon"), entry("b"), entry("c", "weapon"), entry("d"), entry("e"),
    entry("f", "weapon"),
    objects=[{"gun": 2, "cup": 1}, {"dirt": 3}, {"gun": 5}, {}, {}, {"gun": 4}],
    bad=("torn.png",),
)  # fmt: skip
ROWS = [
    row("a", "test", "weapon"), row("b", "train"), row("d", "train"), row("e", "train"),
    row("f", "test", "weapon"),
]  # fmt: skip


def test_every_file_is_in_one_group() -> None:
    groups, ignored = count_files(LISTING, FOUND)
    assert groups == {"image": 6, "annotation": 2, "bad": 2 + 4, "ignored": 5}
    assert groups.total() == len(FILES.images) + len(FILES.others) + len(FILES.bad)
    assert ignored == {
        (".png", "a mask"): 1, (".md", "prose"): 1, (".md", FORMAT): 2,
        ("without suffix", FORMAT): 1,
    }  # fmt: skip


def test_the_account_of_a_set() -> None:
    account = account_of(LISTING, FOUND, ROWS, MEANING, ["the last note", "another"])
    assert (
        account
        == """\
set: 19 files seen: 6 used as images, 2 as annotations, 6 bad, 5 ignored
  ignored: 2 .md: neither an image nor an annotation of this format
  ignored: 1 .md: prose
  ignored: 1 .png: a mask
  ignored: 1 without suffix: neither an image nor an annotation of this format
  hidden, and not looked at: 2 (.b, .a)
  10 a of a kind
  2 z of a kind
  1 scans of bags with a threat in the set's own parts, left out
  the last note
  another
scans                    train  test
normal                       3     0
weapon                       0     2
without objects              2     0
objects: cup (normal)        0     1
objects: dirt (ignored)      3     0
objects: gun (weapon)        0     6
"""
    )


def test_the_account_of_a_set_without_anything_to_tell() -> None:
    files = SetFiles(Path("set"), (Path("d.png"),), ())
    found = surveyed(entry("d"), objects=[{}], bad=())
    account = account_of(Listing(files, []), found, [row("d", "train")], MEANING, [])
    assert (
        account
        == """\
set: 1 files seen: 1 used as images, 0 as annotations, 0 bad, 0 ignored
scans            train
normal               1
without objects      1
"""
    )


@pytest.mark.parametrize(("count", "shown"), [(5, "0, 1, 2, 3, 4"), (6, "0, 1, 2, 3, 4, ...")])
def test_five_hidden_files_are_shown(count: int, shown: str) -> None:
    hidden = tuple(Path("set", str(number)) for number in range(count))
    listing = Listing(SetFiles(Path("set"), (), (), hidden), [])
    account = account_of(listing, surveyed(objects=[], bad=()), [], MEANING, [])
    assert f"\n  hidden, and not looked at: {count} ({shown})\n" in account
