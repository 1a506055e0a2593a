"""The table of an X-ray run, read back by observation."""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ..io.errors import ChangedInputError, InputError
from ..io.observation_source import digest_of
from ..io.ogip_links import Links
from ..io.results import FitStatus
from ..io.table import part_files
from ..io.xray_columns import energy_edges
from .columns import RunTable
from .directory import RunDirectory
from .expressions import parse

Row = dict[str, Any]

BITS = {str(bit.name): int(bit) for bit in FitStatus}


class ObservationTable:
    """What an X-ray run has deconvolved so far.

    Parameters
    ----------
    run : Path
        The run directory.

    Attributes
    ----------
    table : RunTable
        Its parts, checked.
    edges : ndarray, shape (energy + 1,)
        Of the energy bins [keV].

    Raises
    ------
    InputError, RunError
        As of `RunTable`.
    """

    def __init__(self, run: Path) -> None:
        self.table = RunTable(run)
        self.edges = energy_edges(self.table.schema)
        self._folder = RunDirectory(run).table(self.table.manifest.stage)

    def rows(self, where: str | None = None) -> Iterator[Row]:
        """Give rows as mappings, those where an expression of columns holds.

        Raises
        ------
        InputError
            If `where` is no condition on columns that hold a number.
        """
        keep = None
        if where is not None:
            keep = parse(where, frozenset(self.table.names), frozenset(BITS), option="--where")
            if not keep.logical:
                raise InputError(f"--where {where!r}: is a number; compare it, for example > 3")
        for path in part_files(self._folder):
            with pq.ParquetFile(path, pre_buffer=False) as part:
                for group in range(part.num_row_groups):
                    rows = part.read_row_group(group, use_threads=False)
                    if keep is not None:
                        values = {name: rows[name].to_numpy() for name in keep.columns}
                        rows = rows.filter(np.atleast_1d(keep.evaluate(values, BITS)))
                    yield from rows.to_pylist()

    def find(self, obs: str, file: str) -> Row | None:
        """Find the row of an observation; None where it is not done yet."""
        wanted = ["obs", "file"]
        for path in part_files(self._folder):
            with pq.ParquetFile(path, pre_buffer=False) as part:
                names = part.read(columns=wanted, use_threads=False)
                known = list(zip(*(names[name].to_pylist() for name in wanted), strict=True))
                if (obs, file) in known:
                    rows = part.read(use_threads=False)
                    return rows.slice(known.index((obs, file)), 1).to_pylist()[0]
        return None


def locate(name: str, inputs: tuple[str, ...], run: Path) -> tuple[Path, int]:
    """Find the file and the row that a user means by an observation's name.

    Parameters
    ----------
    name : str
        A file of the run: its name, with or without its ending, or its path; ``[n]`` behind it for
        the spectrum n of a file of many.
    inputs : tuple of str
        Files of the run.
    run : Path
        For messages.

    Returns
    -------
    path : Path
    row : int
        0-based; -1 where the name has none.

    Raises
    ------
    InputError
        If there is none of that name, or more than one.
    """
    found = re.fullmatch(r"(?P<file>.*?)(\[(?P<row>\d+)\])?", name)
    assert found is not None
    bare = found["file"]
    paths = [Path(path) for path in inputs]
    named = [path for path in paths if bare in (path.name, path.stem, path.name.partition(".")[0])]
    chosen = [path for path in paths if Path(bare).absolute() == path] or named
    if not chosen:
        near = difflib.get_close_matches(bare, [path.name for path in paths], n=3, cutoff=0.4)
        known = ", ".join(near or [path.name for path in paths[:3]])
        raise InputError(f"{run}: no observation {name}; it has for example {known}")
    if len(chosen) > 1:
        raise InputError(
            f"{run}: {len(chosen)} observations are called {bare}, for example {chosen[0]} and "
            f"{chosen[1]}; give the path"
        )
    return chosen[0], int(found["row"]) - 1 if found["row"] else -1


def require_file(path: Path) -> None:
    """Refuse a file of a run that has gone.

    Raises
    ------
    InputError
        If it has.
    """
    if not path.is_file():
        raise InputError(f"{path}: no longer there; put it back where the run found it")


def check_same_file(path: Path, links: Links, fingerprint: Mapping[str, str]) -> None:
    """Refuse a file that is not what the run began with.

    Parameters
    ----------
    path : Path
    links : Links
        Of the run.
    fingerprint : mapping
        Digests by path, of the run's manifest.

    Raises
    ------
    ChangedInputError
        If it or a file it links to has changed.
    """
    if digest_of(path, links) != fingerprint.get(str(path)):
        raise ChangedInputError(
            f"{path}: changed since the run began, it or a file it links to; put the old one back"
        )
