"""Groups of observations as a stream of batches: rows of the first table, and their files.

The stage `fit` takes a group's deconvolved spectra from the parts of the stage `deconvolve` and
reads its observations again, for the exact fit goes through their own responses. What is read is
one batch: memory is that of its groups. The plan follows from the files and the user's grouping
alone, never from the rows.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .errors import InputError, RunError
from .observation_source import ObservationSource, digest_files
from .observations import Observation, RefusedObservation
from .records import BatchKey
from .table import row_groups

Array = NDArray[np.float64]

_COLUMNS = ("obs", "file", "status", "reason", "log_photon_flux", "log_photon_flux_sigma")


@dataclass(frozen=True, slots=True)
class Group:
    """Observations of one source.

    Parameters
    ----------
    name : str
    members : tuple of int
        Their places among the observations of the run.
    redshifts : tuple of float
        Of each.
    nH : float or None
        Galactic column [1e22 cm-2] where it is known.
    """

    name: str
    members: tuple[int, ...]
    redshifts: tuple[float, ...]
    nH: float | None = None

    @property
    def redshift(self) -> float:
        """That at which the group is fitted: the median of its members'."""
        return float(np.median(self.redshifts))


@dataclass(frozen=True, slots=True)
class GroupMember:
    """An observation with its deconvolved spectrum.

    Parameters
    ----------
    found : Observation or RefusedObservation
    log_flux, sigma : ndarray, shape (energy,)
        Of the row; NaN where it has none.
    status : int
        FitStatus bits of the row.
    redshift : float
    """

    found: Observation | RefusedObservation
    log_flux: Array
    sigma: Array
    status: int
    redshift: float


@dataclass(frozen=True, slots=True)
class GroupBatch:
    """Groups with their members.

    Parameters
    ----------
    key : BatchKey
    groups : tuple of Group
    members : tuple of tuples of GroupMember
        Of each group.
    """

    key: BatchKey
    groups: tuple[Group, ...]
    members: tuple[tuple[GroupMember, ...], ...]

    def __len__(self) -> int:
        """Count the groups."""
        return len(self.groups)

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return sum(
            one.found.nbytes + one.log_flux.nbytes + one.sigma.nbytes
            for group in self.members
            for one in group
        )


class GroupSource:
    """Groups of observations.

    Parameters
    ----------
    observations : ObservationSource
    groups : sequence of Group
    table : Path
        Folder of the parts of the stage `deconvolve`.
    files : sequence of Path
        Further files that decide what is fitted: a plasma table, the table of groups.
    batch : int
        Groups read at a time.
    """

    def __init__(
        self,
        observations: ObservationSource,
        groups: Sequence[Group],
        table: Path,
        *,
        files: Sequence[Path] = (),
        batch: int = 1,
    ) -> None:
        self.observations, self.groups, self.table = observations, tuple(groups), table
        self.files, self.name = tuple(files), observations.name
        self._batch = max(1, batch)

    def __len__(self) -> int:
        """Count the groups."""
        return len(self.groups)

    @property
    def largest(self) -> int:
        """Members of the largest group."""
        return max(len(group.members) for group in self.groups)

    @property
    def spaxel_nbytes(self) -> int:
        """Memory the largest group takes in a batch [bytes]."""
        return self.largest * self.observations.spaxel_nbytes

    def fingerprint(self) -> dict[str, Any]:
        """Identify the further files; the observations are known to the first stage."""
        return {str(path): digest_files([path]) for path in self.files}

    def keys(self) -> Sequence[BatchKey]:
        """All batches, in the order of the groups."""
        starts = range(0, len(self), self._batch)
        return [BatchKey(self.name, at, min(at + self._batch, len(self))) for at in starts]

    def read(self, key: BatchKey) -> GroupBatch:
        """Read one batch.

        Raises
        ------
        RunError
            If the first stage has no row of a member yet, or its table is damaged.
        InputError
            If a row is of another observation.
        """
        groups = self.groups[key.start : key.stop]
        return GroupBatch(key, groups, tuple(self.members(group) for group in groups))

    def members(self, group: Group) -> tuple[GroupMember, ...]:
        """Read the members of a group; what cannot be read is in it as a `RefusedObservation`."""
        pairs = zip(group.members, group.redshifts, strict=True)
        return tuple(self._member(place, redshift) for place, redshift in pairs)

    def cut(self, batch: int) -> "GroupSource":
        """Give the same groups in batches of another size."""
        found = copy.copy(self)
        found._batch = max(1, batch)
        return found

    def _member(self, place: int, redshift: float) -> GroupMember:
        """Read an observation and its row."""
        found, row = self.observations.one(place), self._row(place)
        if row["obs"] != found.name:
            raise InputError(
                f"{found.path}: row {place} of {self.table} is of {row['obs']}, not of "
                f"{found.name}; start again with --overwrite"
            )
        flux, sigma = (
            np.array(row[name], np.float64) for name in ("log_photon_flux", "log_photon_flux_sigma")
        )
        return GroupMember(found, flux, sigma, int(row["status"]), redshift)

    def _row(self, place: int) -> dict[str, Any]:
        """Find the row of an observation in the first table."""
        for (start, stop), (path, group) in self._parts.items():
            if start <= place < stop:
                with pq.ParquetFile(path, pre_buffer=False) as part:
                    rows = part.read_row_group(group, columns=list(_COLUMNS), use_threads=False)
                return rows.slice(place - start, 1).to_pylist()[0]
        name = self.observations.names[place][0]
        raise RunError(f"{self.table}: no row of {name}; resume the run")

    @cached_property
    def _parts(self) -> dict[tuple[int, int], tuple[Path, int]]:
        """Part and row group of each batch of the first stage, which is complete by now."""
        return row_groups(self.table)
