"""What the classes of a set are to SkipScan: normal, an abnormal class, or ignored."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.common.errors import InputError, require
from pipeline.common.names import IGNORED, NORMAL

IGNORE = "ignore"
OTHERS = "*"


class ClassMap:
    """The parameter ``scans.classes``: from a set's class names to what they mean here.

    A meaning is ``normal``, ``ignore`` or the abnormal class's name; the key ``*`` is for every
    class that is not named, and the meaning ``*`` is the class's own name. An object of a normal
    class is no threat. An ignored one is none either, but no window that it touches counts as
    normal.
    """

    def __init__(self, meanings: Mapping[str | int, str]) -> None:
        self._meanings = {str(name): meaning for name, meaning in meanings.items()}
        for name, meaning in self._meanings.items():
            right = bool(meaning) and meaning != IGNORED
            require(right, f"scans.classes.{name}", meaning, "normal, ignore or an abnormal class")

    def meaning(self, name: str) -> str:
        """`NORMAL`, `IGNORED` or an abnormal class; of a class that `check` has passed."""
        meaning = self._meanings.get(name, self._meanings.get(OTHERS, ""))
        if meaning == OTHERS:
            return name
        return IGNORED if meaning == IGNORE else meaning

    def abnormal(self, names: Iterable[str]) -> tuple[str, ...]:
        """The abnormal classes among some of the set's, sorted."""
        meanings = {self.meaning(name) for name in names}
        return tuple(sorted(meanings - {NORMAL, IGNORED}))

    def threats(self, names: Iterable[str]) -> set[str]:
        """The set's own abnormal classes among `names` and those that the parameter names."""
        every = {*names, *self._meanings} - {OTHERS}
        return {name for name in every if self.meaning(name) not in (NORMAL, IGNORED, "")}

    def require_used(self, names: Iterable[str], folder: Path) -> None:
        """Refuse classes that the parameter speaks of and no scan has.

        Raises:
            InputError: names them all, and the classes that scans have.
        """
        found = set(names)
        unused = sorted(name for name in self._meanings if name not in found | {OTHERS})
        if unused:
            raise InputError(
                f"scans.classes: no scan in {folder} has {', '.join(unused)}: it has "
                f"{', '.join(sorted(found)) or 'none'}: correct or remove the name"
            )

    def check(self, names: Iterable[str], folder: Path) -> None:
        """Refuse classes that the parameter does not speak of.

        Raises:
            InputError: names them all.
        """
        unknown = sorted(name for name in set(names) if not self.meaning(name))
        if unknown:
            raise InputError(
                f"scans.classes: says nothing of {', '.join(unknown)} in {folder}: give each "
                f"normal, ignore or an abnormal class, or do so for all others with '{OTHERS}'"
            )
