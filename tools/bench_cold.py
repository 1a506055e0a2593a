"""One command on a cold file, and what it took: time, work, memory and what came from the disk.

Linux only: the page cache is dropped through ``/proc`` or `posix_fadvise`, and the peak of resident
memory is the kernel's own high-water mark of the command (`getrusage` would count what the process
that started it held at that moment).
"""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_DROP = Path("/proc/sys/vm/drop_caches")
_POLL_S = 0.05
_SECTOR = 512  # bytes, in which `getrusage` counts what is read


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command took.

    Parameters
    ----------
    exit_code : int
    wall_s, user_s, system_s : float
    peak_bytes : int
        Resident memory, shared libraries and mapped files included, a twentieth of a second
        before the end at the latest.
    read_bytes : int
        Came from the disk, not from the page cache; 0 where the kernel does not count it.
    """

    exit_code: int
    wall_s: float
    user_s: float
    system_s: float
    peak_bytes: int
    read_bytes: int


def make_cold(path: Path) -> str:
    """Take a file out of the page cache.

    Parameters
    ----------
    path : Path
        Written to disk first: dirty pages stay where they are.

    Returns
    -------
    str
        "drop_caches" where the whole cache was dropped, programs and libraries with it, as the
        superuser may; "fadvise" where only this file was.
    """
    with path.open("rb") as file:
        os.fsync(file.fileno())
        try:
            _DROP.write_text("3\n")
        except OSError:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return "fadvise"
    return "drop_caches"


def measure(command: Sequence[str], output: Path) -> Usage:
    """Run a command and wait for it.

    Parameters
    ----------
    command : sequence of str
    output : Path
        Takes what it writes to standard output and standard error.
    """
    with output.open("wb") as into:
        begun = time.perf_counter()
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=into, stderr=subprocess.STDOUT
        )
        with _Watch(child.pid) as watch:
            try:
                _, status, used = os.wait4(child.pid, 0)
            except BaseException:
                child.kill()
                child.wait()
                raise
            wall = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    return Usage(
        exit_code=child.returncode,
        wall_s=wall,
        user_s=used.ru_utime,
        system_s=used.ru_stime,
        peak_bytes=watch.peak,
        read_bytes=used.ru_inblock * _SECTOR,
    )


class _Watch:
    """Follows the high-water mark of a process's memory while the body runs."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._status = Path(f"/proc/{pid}/status")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _follow(self) -> None:
        while True:
            try:
                text = self._status.read_text()
            except OSError:  # it has ended
                return
            _, found, rest = text.partition("VmHWM:")
            if found:
                self.peak = max(self.peak, 1024 * int(rest.split()[0]))
            if self._over.wait(_POLL_S):
                return
