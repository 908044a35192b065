"""Whether the code on disk is still the code that this process has loaded."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from perdure.project.discovery import PRIVATE, file_of


def fingerprint(modules: Iterable[ModuleType]) -> str:
    """Hash the source files of modules; the same code gives the same text on every machine."""
    files = sorted({file for module in modules if (file := file_of(module))})
    digests = sorted(_digest(file) for file in files)
    return hashlib.blake2b(b"".join(digests), digest_size=16).hexdigest()


class SourceWatch:
    """Notices that the code on disk is no longer the code that this process has loaded.

    It looks at the files of all loaded modules that lie in the project (not at installed
    packages), and at files that were loaded by path.
    """

    def __init__(self, project_root: Path) -> None:
        self._root = os.path.join(os.path.realpath(project_root), "")
        self._files: dict[str, tuple[tuple[int, int], bytes]] = {}
        self._seen: set[str] = set()
        self.remember()

    def remember(self) -> None:
        """Remember the files of modules that were loaded since the last look."""
        for name, module in list(sys.modules.items()):
            if name in self._seen:
                continue
            self._seen.add(name)
            file = file_of(module)
            if file and (name.startswith(PRIVATE) or self._is_ours(file)):
                self._files.setdefault(file, (_stamp(file), _digest(file)))

    def changed(self) -> list[Path]:
        """The files that differ from what was loaded, deleted ones too; [] when all is the same.

        A look costs one `stat` per file; a file is read only if its time or size moved.
        """
        self.remember()
        different: list[Path] = []
        for file, (stamp, digest) in self._files.items():
            now = _stamp(file)
            if now == stamp:
                continue
            if _digest(file) == digest:
                self._files[file] = (now, digest)  # touched, or saved without a change
            else:
                different.append(Path(file))
        return different

    def _is_ours(self, file: str) -> bool:
        inside = file.removeprefix(self._root)
        parts = inside.split(os.sep)
        return inside != file and not {"site-packages", "dist-packages"}.intersection(parts)


def _stamp(file: str) -> tuple[int, int]:
    try:
        seen = os.stat(file)
    except OSError:
        return (0, -1)
    return (seen.st_mtime_ns, seen.st_size)


def _digest(file: str) -> bytes:
    """The hash of a file's content; b"" if it cannot be read."""
    try:
        with open(file, "rb") as source:
            return hashlib.file_digest(source, "blake2b").digest()
    except OSError:
        return b""
