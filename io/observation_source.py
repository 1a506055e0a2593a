"""X-ray observations as a stream of batches, in the order in which their files are given.

Only the number of spectra of each file is read beforehand. A file that cannot be read keeps its
row, which says why; the memory of a batch is that of its observations, for one at a time is read.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import InputError
from .fingerprint import BLOCK_NBYTES, digest, identity
from .observations import Observation, ObservationBatch, RefusedObservation
from .ogip import Links, count_spectra, files_of, observations
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
        Memory one observation takes in a batch [bytes], judged from the first that can be read.

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
        size, total = max(1, batch), self._stops[-1]
        self._keys = [
            BatchKey(self.name, start, min(start + size, total)) for start in range(0, total, size)
        ]
        self.spaxel_nbytes = self._typical()

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

    def fingerprint(self) -> dict[str, Any]:
        """Give a digest for each observation: of its own file and of all it links to."""
        return {str(path): self._digest(path) for path in self.paths}

    def _digest(self, path: Path) -> str:
        """Digest what one observation is read from."""
        files = [_identity(one) for one in files_of(path, self.links)]
        return digest(json.dumps(files, sort_keys=True).encode())

    def _typical(self) -> int:
        """Give the memory of the first observation that can be read."""
        for path in self.paths:
            for one in observations(path, self.links):
                if isinstance(one, Observation):
                    return one.nbytes
        return _TYPICAL_NBYTES


def _identity(path: Path) -> dict[str, Any]:
    """Identify one file by its name, size, first and last block."""
    with path.open("rb") as file:
        first = file.read(BLOCK_NBYTES)
        file.seek(max(0, path.stat().st_size - BLOCK_NBYTES))
        last = file.read()
    return {"name": path.name, **identity(path, header=b"", first=first, last=last)}
