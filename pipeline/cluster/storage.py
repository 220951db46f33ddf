"""The parameter `storage`: a path or URI for the checkpoints from which a killed stage resumes."""

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
    """A folder that every node reaches, on a file system that pyarrow opens.

    Attributes:
        path_or_uri: an absolute path, or a URI such as ``s3://bucket/folder``.
    """

    path_or_uri: str

    @classmethod
    def of(cls, parameter: str) -> "Storage":
        """Return the storage that the parameter names; a path is relative to the project's root."""
        return cls(parameter if "://" in parameter else str(project_root() / parameter))

    def __str__(self) -> str:
        return mask_credentials(self.path_or_uri)

    @property
    def is_uri(self) -> bool:
        """Whether this is a URI and not a folder of this machine."""
        return "://" in self.path_or_uri

    def child(self, name: str) -> "Storage":
        """Return the folder `name` in this one."""
        path, mark, query = self.path_or_uri, "", ""
        if self.is_uri:  # whose options come last: s3://bucket/folder?region=eu-north-1
            path, mark, query = self.path_or_uri.partition("?")
        return Storage(f"{path.rstrip('/')}/{name}{mark}{query}")

    def open(self) -> tuple[FileSystem, str]:
        """Return the file system, and the path of this folder in it.

        Raises:
            InputError: the URI is wrong, or a library for it is missing.
        """
        try:
            found: tuple[FileSystem, str] = FileSystem.from_uri(self.path_or_uri)
        except (OSError, ValueError) as error:
            raise InputError(f"params.yaml: storage: got {self}: {first_line(error)}") from None
        return found

    def warn_if_others_write(self) -> None:
        """Print a line if the folder belongs to another user, or other users may write to it."""
        if self.is_uri or not (path := Path(self.path_or_uri)).exists():
            return
        found = path.stat()
        open_to_all = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if found.st_uid != os.getuid() or (open_to_all and not found.st_mode & stat.S_ISVTX):
            print(
                f"{path}: other users can write here and could change results: give storage "
                "a folder of your own (chmod go-w) unless you trust them",
                file=terminal.err(),
            )
