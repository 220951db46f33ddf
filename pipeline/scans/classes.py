"""The meaning of a set's own classes: normal, an abnormal class, or ignored."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.common.errors import InputError
from pipeline.common.names import IGNORED, NORMAL
from pipeline.settings.scans import IGNORE, RESERVED

OTHERS = "*"


class ClassMap:
    """The parameter ``scans.classes``: a map from a set's own class names to their meanings.

    A meaning is ``normal``, ``ignore`` or the name of an abnormal class. The key ``*`` stands for
    all classes that are not named, and the meaning ``*`` for the class's own name, unless this
    name is `RESERVED`. Objects of normal and of ignored classes are no threats, but a window that
    touches an ignored object does not count as normal.
    """

    def __init__(self, meanings: Mapping[str | int, str]) -> None:
        self._meanings = {str(name): meaning for name, meaning in meanings.items()}

    def meaning(self, name: str) -> str:
        """Return `NORMAL`, `IGNORED` or an abnormal class; "" for a class that `check` refuses."""
        meaning = self._meanings.get(name, self._meanings.get(OTHERS, ""))
        if meaning == OTHERS:
            return "" if name in RESERVED else name
        return IGNORED if meaning == IGNORE else meaning

    @property
    def ignores(self) -> bool:
        """Whether a class is ignored."""
        return IGNORE in self._meanings.values()

    def abnormal(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the abnormal classes that the set's own classes `names` mean, sorted."""
        meanings = {self.meaning(name) for name in names}
        return tuple(sorted(meanings - {NORMAL, IGNORED}))

    def threats(self, names: Iterable[str]) -> set[str]:
        """Return the set's own abnormal classes, of `names` and of the parameter's keys."""
        candidates = {*names, *self._meanings} - {OTHERS}
        return {name for name in candidates if self.meaning(name) not in (NORMAL, IGNORED, "")}

    def require_used(self, names: Iterable[str], folder: Path) -> None:
        """Refuse classes that are in the parameter but in no scan.

        Raises:
            InputError: names all these classes, and the classes of the scans.
        """
        present = set(names)
        unused = sorted(name for name in self._meanings if name not in present | {OTHERS})
        if unused:
            raise InputError(
                f"scans.classes: no scan in {folder} has {', '.join(unused)}: it has "
                f"{', '.join(sorted(present)) or 'none'}: correct or remove the name"
            )

    def check(self, names: Iterable[str], folder: Path) -> None:
        """Refuse classes that the parameter gives no meaning.

        Raises:
            InputError: names all these classes.
        """
        unknown = sorted(name for name in set(names) if not self.meaning(name))
        if unknown:
            raise InputError(
                f"scans.classes: no meaning for {', '.join(unknown)} in {folder}: give each "
                f"normal, ignore or an abnormal class, or do so for all others with '{OTHERS}'"
            )


AS_NAMED = ClassMap({OTHERS: OTHERS})  # each class means its own name
