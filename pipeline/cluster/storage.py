"""The parameter `storage`: the place of the checkpoints from which a killed stage resumes."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from pyarrow.fs import FileSystem

from pipeline.common import terminal
from pipeline.common.errors import InputError, first_line
from pipeline.common.files import project_root
from pipeline.common.lines import mask_credentials


@dataclass(frozen=True)
class Storage:
    """A place that every node reaches.

    Attributes:
        place: an absolute path, or an address such as ``s3://bucket/folder``.
    """

    place: str

    @classmethod
    def of(cls, parameter: str) -> "Storage":
        """Return the place that the parameter names; a path is relative to the project's root."""
        return cls(parameter if "://" in parameter else str(project_root() / parameter))

    def __str__(self) -> str:
        return mask_credentials(self.place)

    @property
    def is_address(self) -> bool:
        """Whether the place is an address and not a folder of this machine."""
        return "://" in self.place

    def child(self, name: str) -> "Storage":
        """Return the place called `name` below this one."""
        path, mark, query = self.place, "", ""
        if self.is_address:  # whose options come last: s3://bucket/folder?region=eu-north-1
            path, mark, query = self.place.partition("?")
        return Storage(f"{path.rstrip('/')}/{name}{mark}{query}")

    def open(self) -> tuple[FileSystem, str]:
        """Return the file system of the place, and the path of the place there.

        Raises:
            InputError: the address is wrong, or a library for it is missing.
        """
        try:
            found: tuple[FileSystem, str] = FileSystem.from_uri(self.place)
        except (OSError, ValueError) as error:
            raise InputError(f"params.yaml: storage: got {self}: {first_line(error)}") from None
        return found

    def warn_if_others_write(self) -> None:
        """Print a line if the place is a folder of someone else's, or one that others may write."""
        if self.is_address or not (path := Path(self.place)).exists():
            return
        found = path.stat()
        open_to_all = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if found.st_uid != os.getuid() or (open_to_all and not found.st_mode & stat.S_ISVTX):
            print(
                f"{self.place}: other users can write here and could change results: give storage "
                "a folder of your own (chmod go-w) unless you trust them",
                file=terminal.err(),
            )
