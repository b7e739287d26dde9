"""Where an output lies: its file or folder on a file system of pyarrow's, its parts, and which run owns it."""

from __future__ import annotations

import os

from npresnet.errors import NpresnetError
from npresnet.ray.addresses import ADDRESS, opened, without_password
from npresnet.ray.cluster import arrow

OWNER = ".npresnet-run"


class Place:
    """An output's names.

    name       as it was given, without a password
    path       of the file or folder in `filesystem`
    is_file    its name ends in .parquet: one file in the end
    folder     of the parts
    """

    def __init__(self, destination: str | os.PathLike[str]):
        text = os.fspath(destination)
        self.name = without_password(text)
        if ADDRESS.match(text):
            try:
                self.filesystem, self.path = opened(text)
            except (ValueError, OSError) as error:
                raise NpresnetError(f"{self.name} cannot be written: {str(error)[:300]}") from error
        else:
            self.filesystem, self.path = arrow().fs.LocalFileSystem(), os.path.abspath(text)
        self.is_file = self.path.lower().endswith(".parquet")  # of an address, options may follow
        self.folder = f"{self.path}.parts" if self.is_file else self.path

    def exists(self) -> bool:
        """Is the output's name taken, other than by an empty folder?"""
        (info,) = self.filesystem.get_file_info([self.path])
        kinds = arrow().fs.FileType
        if self.is_file:
            return bool(info.type != kinds.NotFound)
        return bool(info.type == kinds.File or (info.type == kinds.Directory and self.files()))

    def files(self) -> list[str]:
        """All files beside the parts, and they."""
        fs = arrow().fs
        found = self.filesystem.get_file_info(fs.FileSelector(self.folder, allow_not_found=True))
        return sorted(entry.path for entry in found if entry.type == fs.FileType.File)

    def parts(self) -> list[str]:
        return [path for path in self.files() if os.path.basename(path).startswith("part-")]

    def remove_unfinished(self) -> None:
        """Delete what a cut run was writing."""
        for path in self.files():
            if os.path.basename(path).startswith(".part-"):
                self.filesystem.delete_file(path)

    def owner(self) -> str:
        """The run that writes here; "" if none does."""
        try:
            with self.filesystem.open_input_stream(f"{self.folder}/{OWNER}", compression=None) as stream:
                return str(stream.read().decode(errors="replace"))
        except FileNotFoundError:
            return ""

    def own(self, run: str) -> None:
        """Make a run the owner, whoever was."""
        self.filesystem.create_dir(self.folder, recursive=True)
        with self.filesystem.open_output_stream(f"{self.folder}/{OWNER}") as stream:
            stream.write(run.encode())

    def disown(self) -> None:
        """No run writes any more; of a file's parts the folder goes if nothing is in it."""
        self.filesystem.delete_file(f"{self.folder}/{OWNER}")
        if self.is_file and not self.files():
            self.filesystem.delete_dir(self.folder)
