"""A disk of its own for the database, which can be filled: a tmpfs, where this process may mount one.

Where it may not, the folder is a plain one and `can_fill` is False: that a disk is full can't be shown there.
"""

import errno
import os
import subprocess
import time
from pathlib import Path

CHUNKS = (16 << 20, 1 << 20, 64 << 10, 4 << 10)


class Disk:
    """Mounted at `folder` from `mount` to `unmount`."""

    def __init__(self, folder: Path, megabytes: int = 512) -> None:
        self.folder = folder
        self.can_fill = False
        self.full_between: list[tuple[float, float]] = []
        """When it was full (epoch seconds, UTC), oldest first; ended ones only."""
        self._megabytes = megabytes
        self._filler = folder / "filler"
        self._full_since: float | None = None

    @property
    def is_filled(self) -> bool:
        """Whether `fill` is in force."""
        return self._full_since is not None

    def mount(self) -> None:
        """Make the folder, and the disk in it where that is permitted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = f"size={self._megabytes}m,mode=0755"
        self.can_fill = _run("mount", "-t", "tmpfs", "-o", options, "onward-faults", str(self.folder))

    def unmount(self) -> None:
        """Take the disk away with all that is on it. A plain folder stays as it is."""
        if self.can_fill:
            self.can_fill = False
            path = str(self.folder)
            if not _run("umount", path):
                _run("umount", "--lazy", path)  # a dying process still has a file open

    def fill(self) -> int:
        """Take every free block; again where some have become free. Returns the bytes taken. Blocks.

        Raises RuntimeError where there is no disk of its own.
        """
        if not self.can_fill:
            raise RuntimeError(f"{self.folder} is no disk of its own: to fill it would fill this machine's")
        if self._full_since is None:
            self._full_since = time.time()
        file = os.open(self._filler, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            size = began = os.fstat(file).st_size
            for chunk in CHUNKS:
                while _take(file, size, chunk):
                    size += chunk
        finally:
            os.close(file)
        return size - began

    def free(self) -> None:
        """Give the blocks back."""
        self._filler.unlink(missing_ok=True)
        if self._full_since is not None:
            self.full_between.append((self._full_since, time.time()))
            self._full_since = None

    def was_full(self, at: float, after: float = 0.0) -> bool:
        """Whether it was full at the time (epoch seconds, UTC), or until `after` seconds before it."""
        now = [(self._full_since, time.time())] if self._full_since is not None else []
        return any(began <= at <= ended + after for began, ended in [*self.full_between, *now])


def _take(file: int, offset: int, length: int) -> bool:
    try:
        os.posix_fallocate(file, offset, length)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return False
        raise
    return True


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
