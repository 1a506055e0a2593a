"""X-ray observations as a stream of batches, in the order in which their files are given.

Only the number of spectra of each file is read beforehand. A file that cannot be read keeps its
row, which says why; the memory of a batch is that of its observations, for one at a time is read.
"""

import bisect
import copy
import itertools
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from .errors import InputError
from .fingerprint import BLOCK_NBYTES, digest, identity
from .observations import Observation, ObservationBatch, RefusedObservation
from .ogip import Links, count_spectra, files_of, observations, read_observation, targets_of
from .records import BatchKey

# What an observation takes where none can be read: a response of ACIS [bytes].
_TYPICAL_NBYTES = 4 << 20


class ObservationSource:
    """Observations of any number of PHA files.

    Parameters
    ----------
    paths : sequence of Path
        PHA files of type I or II.
    links : Links
        Files to take in place of those in the headers, the same for all.
    batch : int
        Observations read at a time, at most.

    Attributes
    ----------
    name : str
        The first file, and how many more there are.
    spaxel_nbytes : int
        Memory one observation takes in a batch [bytes]: of the first that can be read, and more
        where another links to a larger file.

    Raises
    ------
    InputError
        If there are no files, or a path is none.
    """

    def __init__(
        self, paths: Sequence[Path], *, links: Links | None = None, batch: int = 16
    ) -> None:
        if not paths:
            raise InputError("no observations: give the path of at least one PHA file")
        for path in paths:
            if not path.is_file():
                found = "a folder" if path.is_dir() else "no such file"
                raise InputError(f"{path}: {found}; give the path of a PHA file")
        self.paths, self.links = tuple(paths), links or Links()
        more = len(paths) - 1
        self.name = paths[0].name + (f" and {more} more" if more else "")
        counts = [count_spectra(path) for path in paths]
        self._stops = list(itertools.accumulate(counts))
        self._keys = self._plan(batch)
        self.spaxel_nbytes = self._largest()

    def __len__(self) -> int:
        """Count the observations."""
        return self._stops[-1]

    def keys(self) -> Sequence[BatchKey]:
        """All batches, in the order of the files."""
        return list(self._keys)

    def read(self, key: BatchKey) -> ObservationBatch:
        """Read one batch.

        Parameters
        ----------
        key : BatchKey
            One of `keys()`.

        Returns
        -------
        ObservationBatch
            What cannot be read is in it as a `RefusedObservation`.

        Raises
        ------
        InputError
            If `key` is of another plan, or a file has fewer spectra than it had.
        """
        if key not in self._keys:
            raise InputError(f"{key}: not a batch of this plan; run with the same files as before")
        found: list[Observation | RefusedObservation] = []
        start = 0
        for path, stop in zip(self.paths, self._stops, strict=True):
            if stop > key.start and start < key.stop:
                first, last = max(key.start, start) - start, min(key.stop, stop) - start
                found += itertools.islice(observations(path, self.links), first, last)
            start = stop
        return ObservationBatch(key, tuple(found))

    @cached_property
    def names(self) -> list[tuple[str, Path]]:
        """Name and file of every observation, in the order of the plan."""
        starts = [0, *self._stops[:-1]]
        return [
            (path.name if stop - start == 1 else f"{path.name}[{row + 1}]", path)
            for path, start, stop in zip(self.paths, starts, self._stops, strict=True)
            for row in range(stop - start)
        ]

    def targets(self) -> list[str]:
        """Read what the headers call the targets, in the order of the plan; "" for nothing."""
        return [name for path in self.paths for name in targets_of(path)]

    def one(self, place: int) -> Observation | RefusedObservation:
        """Read the observation at a place of the plan, and none beside it."""
        file = bisect.bisect_right(self._stops, place)
        row = place - (self._stops[file - 1] if file else 0)
        try:
            return read_observation(self.paths[file], row, self.links)
        except InputError as error:
            name, path = self.names[place]
            return RefusedObservation(name, str(path), str(error))

    def cut(self, batch: int) -> "ObservationSource":
        """Give the same observations in batches of another size."""
        found = copy.copy(self)
        found._keys = self._plan(batch)
        return found

    def fingerprint(self) -> dict[str, Any]:
        """Give a digest for each file: of its own content and of all it links to."""
        return {str(path): digest_files(files) for path, files in self._files.items()}

    @cached_property
    def _files(self) -> dict[Path, list[Path]]:
        """All that each file links to, itself at first."""
        return {path: files_of(path, self.links) for path in self.paths}

    def _plan(self, batch: int) -> list[BatchKey]:
        """Cut the observations into batches."""
        size, total = max(1, batch), self._stops[-1]
        starts = range(0, total, size)
        return [BatchKey(self.name, start, min(start + size, total)) for start in starts]

    def _largest(self) -> int:
        """Judge the memory of an observation with the largest response."""
        for path in self.paths:
            for one in observations(path, self.links):
                if isinstance(one, Observation):
                    own, largest = (
                        max((_size(file) for files in some for file in files[1:]), default=1)
                        for some in ([self._files[path]], self._files.values())
                    )
                    return int(one.nbytes * max(1.0, largest / max(own, 1)))
        return _TYPICAL_NBYTES


def digest_of(path: Path, links: Links | None = None) -> str:
    """Digest what the spectra of one file are read from: its content and all it links to."""
    return digest_files(files_of(path, links or Links()))


def digest_files(files: Sequence[Path]) -> str:
    """Digest some files; one that cannot be read is known by its name."""
    return digest(json.dumps([_identity(one) for one in files], sort_keys=True).encode())


def _size(path: Path) -> int:
    """Give the size of a file, nothing where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _identity(path: Path) -> dict[str, Any]:
    """Identify one file by its name, size, first and last block."""
    try:
        with path.open("rb") as file:
            first = file.read(BLOCK_NBYTES)
            file.seek(max(0, path.stat().st_size - BLOCK_NBYTES))
            last = file.read()
        return {"name": path.name, **identity(path, header=b"", first=first, last=last)}
    except OSError as error:
        return {"name": path.name, "unreadable": error.strerror or str(error)}
