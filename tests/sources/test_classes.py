from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import InputError
from pipeline.common.names import IGNORED, NORMAL
from pipeline.evaluation.scores import OVERALL
from pipeline.patches.windows import GRAZING
from pipeline.scans.classes import ClassMap

WORDS = st.text("abcxyz", min_size=1, max_size=4)
MEANINGS = st.sampled_from(["normal", "ignore", "gun", "knife"])


@given(meanings=st.dictionaries(WORDS, MEANINGS), names=st.sets(WORDS), others=MEANINGS)
def test_every_class_has_the_meaning_that_it_or_the_star_says(
    meanings: dict[str | int, str], names: set[str], others: str
) -> None:
    classes = ClassMap({**meanings, "*": others})
    classes.check(names, Path())
    said = {name: meanings.get(name, others) for name in names}
    assert classes.abnormal(names) == tuple(sorted({*said.values()} - {"normal", "ignore"}))
    for name, meaning in said.items():
        assert classes.meaning(name) == (IGNORED if meaning == "ignore" else meaning)


@given(meanings=st.dictionaries(WORDS, MEANINGS), names=st.sets(WORDS))
def test_classes_that_are_not_named_are_refused_all_at_once(
    meanings: dict[str | int, str], names: set[str]
) -> None:
    unknown = sorted(names - meanings.keys())
    if not unknown:
        ClassMap(meanings).check(names, Path("set"))
        return
    with pytest.raises(InputError, match=f"no meaning for {', '.join(unknown)} in set: give each"):
        ClassMap(meanings).check(names, Path("set"))


def test_numbers_are_names() -> None:
    assert ClassMap({3: "normal"}).meaning("3") == NORMAL


def test_a_star_as_meaning_is_the_class_s_own_name() -> None:
    classes = ClassMap({"bottle": "normal", "*": "*"})
    assert [classes.meaning(name) for name in ("gun", "bottle")] == ["gun", NORMAL]
    assert classes.abnormal(["knife", "bottle", "gun"]) == ("gun", "knife")


@pytest.mark.parametrize("name", [GRAZING, OVERALL, IGNORED])
def test_a_star_gives_no_class_a_name_of_another_use(name: str) -> None:
    with pytest.raises(InputError, match=f"no meaning for {name} in set"):
        ClassMap({"*": "*"}).check(["gun", name], Path("set"))
    ClassMap({name: "knife", "*": "*"}).check(["gun", name], Path("set"))


def test_classes_that_no_scan_has_are_refused_all_at_once() -> None:
    classes = ClassMap({"gun": "gun", "axe": "axe", "bat": "normal", "*": "ignore"})
    classes.require_used(["gun", "axe", "bat", "saw"], Path("set"))
    message = (
        r"^scans\.classes: no scan in set has axe, gun: it has bat, cup: correct or remove the"
    )
    with pytest.raises(InputError, match=message):
        classes.require_used(["cup", "bat"], Path("set"))
    with pytest.raises(InputError, match="no scan in set has axe, bat, gun: it has none: correct"):
        classes.require_used([], Path("set"))


def test_unknown_classes_are_refused_with_what_to_do() -> None:
    message = r"^scans\.classes: no meaning for axe, gun in set: give each normal, ignore or an "
    with pytest.raises(InputError, match=message + "abnormal class, or do so for all others with"):
        ClassMap({"bat": "bat"}).check(["gun", "bat", "axe"], Path("set"))


def test_threats_are_the_abnormal_classes_of_the_set_and_of_the_parameter() -> None:
    meanings: dict[str | int, str] = {"gun": "a", "cup": "normal", "dirt": "ignore", 3: "b"}
    assert ClassMap(meanings).threats(["cup", "saw"]) == {"gun", "3"}
    assert ClassMap({**meanings, "*": "*"}).threats(["cup", "saw"]) == {"gun", "3", "saw"}
    assert ClassMap({"*": "normal"}).threats(["saw"]) == set()
