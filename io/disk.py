"""Files that are there whole or not at all, and what to say when the disk refuses."""

import os
import shutil
from pathlib import Path

from .errors import StorageError


def publish(path: Path, *pieces: bytes | memoryview, sync: bool = True) -> None:
    """Write a file so that it is there whole or not at all.

    Parameters
    ----------
    path : Path
        The file; it is written under another name beside it and renamed.
    *pieces : bytes
        Its content, in order.
    sync : bool
        Whether that shall hold even if the power fails.

    Raises
    ------
    StorageError
        If the disk refuses; nothing of the file is left.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            for piece in pieces:
                file.write(piece)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if not sync:
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise refused(path, error, sum(map(len, pieces))) from error


def refused(path: Path, error: OSError, wanted: int = 0) -> StorageError:
    """Say where the disk refused, how much is free there, and the cure."""
    try:
        free = f"{shutil.disk_usage(path.parent).free / 2**20:.1f} MiB free"
    except OSError:
        free = "free space unknown"
    need = f", {wanted / 2**20:.1f} MiB wanted" if wanted else ""
    return StorageError(
        f"{path}: {error.strerror or error} ({free}{need}); free some space and resume the run: "
        "every sealed part is safe"
    )
