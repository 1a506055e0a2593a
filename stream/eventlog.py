"""``log.jsonl``: one JSON object a line for everything that happens to a run, and the run's lock.

The log stays open while a process works on the run and is locked by it, so that no second one can;
the lock goes with the process, however it ends.
"""

import fcntl
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from ..io.disk import refused
from ..io.errors import InputError, RunError


def utc_now() -> str:
    """Give the time as every file of a run writes it: UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class EventLog:
    """Appends events to ``log.jsonl`` and holds the run.

    A full disk does not end a run here: the part that cannot be written will say so.

    Parameters
    ----------
    path : Path
        The log; appended to.
    copy : Path, optional
        Another file that is given the same lines.

    Raises
    ------
    RunError
        If another process works on the run.
    StorageError, InputError
        If the log, or the copy, cannot be opened.
    """

    def __init__(self, path: Path, *, copy: Path | None = None) -> None:
        self._guard = threading.Lock()
        try:
            file = path.open("a")
        except OSError as error:
            raise refused(path, error) from error
        if _lock(file) is False:
            file.close()
            raise RunError(
                f"{path.parent}: another process works on this run; wait for it or stop it "
                f"(stream-fit status {path.parent})"
            )
        self._files: list[TextIO] = [file]
        if copy is not None:
            try:
                self._files.append(copy.open("a"))
            except OSError as error:
                file.close()
                raise InputError(f"--log-file {copy}: {error.strerror}; name another") from error

    def event(self, name: str, *, level: str = "info", **fields: Any) -> None:
        """Append one line: time, level, event and the fields."""
        line = json.dumps({"time": utc_now(), "level": level, "event": name, **fields}, default=str)
        with self._guard:
            for file in self._files:
                try:
                    file.write(line + "\n")
                    file.flush()
                except OSError:
                    continue

    def clear(self) -> None:
        """Forget the events of a run that is being replaced; the lock stays."""
        self._files[0].truncate(0)

    def close(self) -> None:
        """Let go of the run."""
        for file in self._files:
            try:
                file.close()
            except OSError:
                continue


def is_held(path: Path) -> bool | None:
    """Tell whether a process works on the run this log belongs to.

    Returns
    -------
    bool or None
        None where the file system knows no locks.
    """
    try:
        with path.open() as file:
            locked = _lock(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False
    return None if locked is None else not locked


def _lock(file: TextIO, kind: int = fcntl.LOCK_EX) -> bool | None:
    """Lock a file for this process; None where the file system knows no locks."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
