"""Which pictures are still to be done: those without a row, those that could not be fetched or ended processes.

A picture is the same however it is spelled: relative, absolute, as file://, through a link to its folder. Relative
paths in an output are relative to one folder, which the output notes: that in which its first run was started.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from npresnet.ray.addresses import ADDRESS
from npresnet.ray.sources import Picture, Pictures
from npresnet.system.text import visible

FILE = "file://"


def identities(folder: str) -> Callable[[str], str]:
    """The function from a path as shown to the one name of its picture; relative paths are relative to `folder`.

    Links are followed for folders, each looked up once; a picture that is a link stays one of its own.
    """
    real: dict[str, str] = {}

    def identity(shown: str) -> str:
        path = shown[len(FILE) :] if shown.startswith(FILE) else shown
        if ADDRESS.match(path):
            return path
        parent, name = os.path.split(os.path.join(folder, path))
        if parent not in real:
            real[parent] = os.path.realpath(parent)
        return os.path.join(real[parent], name)

    return identity


class Known:
    """The pictures that have a row in an output.

    done    paths of rows that are final: a prediction, or bytes that are no picture
    unread  paths of rows whose picture could not be fetched or ended processes
    folder  what relative paths among them are relative to
    """

    def __init__(self, done: Iterable[str], unread: Iterable[str], folder: str):
        identity = identities(folder)
        self._texts = set(done)
        self._done = {identity(path) for path in self._texts}
        self._unread: dict[str, set[str]] = {}
        for path in unread:
            self._unread.setdefault(identity(path), set()).add(path)
        self._here = os.getcwd()
        self._is_here = os.path.realpath(folder) == os.path.realpath(self._here)
        self.skipped = 0  # pictures that have a row
        self.replaced: set[str] = set()  # rows in whose place new ones come

    def new(self, groups: Iterable[Pictures]) -> list[list[Picture]]:
        """Of each group the pictures that are to be done; none twice, though several sources may name it."""
        identity, seen, found = identities(self._here), set[str](), list[list[Picture]]()
        for group in groups:
            files = []
            is_local = getattr(group.filesystem, "type_name", "local") == "local"
            for picture in group.files:
                is_named = is_local or ADDRESS.match(picture.shown)  # else a path of a file system that was passed
                name = identity(picture.shown) if is_named else picture.shown
                if name in seen:
                    continue
                seen.add(name)  # the name as it is: two may be shown alike
                shown = visible(picture.shown)
                known = identity(shown) if is_named else shown
                if known in (self._done if is_named else self._texts):
                    self.skipped += 1
                    continue
                self.replaced |= self._unread.get(known if is_named else identity(shown), set())
                files.append(picture if self._is_here or not is_local else self._absolute(picture))
            found.append(files)
        return found

    def _absolute(self, picture: Picture) -> Picture:
        """Relative to a folder that is not the output's, a path would mean another picture."""
        if ADDRESS.match(picture.shown):
            return picture
        return picture._replace(shown=os.path.join(self._here, picture.shown))
