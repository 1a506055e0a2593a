"""Additive table models of XSPEC, with which a user brings another plasma code.

The format is OGIP memo 92-009: PARAMETERS lists the axes (NAME, VALUE), ENERGIES the bins,
SPECTRA a row for each point of the grid (PARAMVAL, INTPSPEC in photons/cm2/s at norm 1) and, for
parameters that only add, what one unit of each adds (ADDSP001 ...). Here the grid has to be one of
temperature and, either way, abundance; a plasma table is made of it by `kernels.plasma.from_grid`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from .errors import InputError
from .ogip_file import OgipFile, OgipTable

Array = NDArray[np.float64]

_TEMPERATURE = ("kt", "temp", "tem", "t_e")
_ABUNDANCE = ("abund", "metal", "z_", "fe/h")


@dataclass(frozen=True, slots=True)
class TableModel:
    """Thermal spectra on a grid.

    Parameters
    ----------
    name : str
        MODLNAME of the file.
    edges : ndarray, shape (bin + 1,)
        [keV].
    temperature : ndarray, shape (temperature,)
        kT [keV].
    abundance : ndarray, shape (abundance,)
        Solar; zero and one where the file has what one unit adds.
    photons : ndarray, shape (temperature, abundance, bin)
        At norm 1 [photons/cm2/s].
    """

    name: str
    edges: Array
    temperature: Array
    abundance: Array
    photons: Array


def read_table_model(path: Path) -> TableModel:
    """Read a table model of temperature and abundance.

    Parameters
    ----------
    path : Path
        Plain or gzipped FITS.

    Returns
    -------
    TableModel

    Raises
    ------
    InputError
        If it is damaged, not additive, has other axes, or lacks a point of its grid.
    """
    _refuse_other_models(path)
    with OgipFile(path) as file:
        parameters, energies, spectra = (
            _table(file, name) for name in ("PARAMETERS", "ENERGIES", "SPECTRA")
        )
        names = [str(one).strip().lower() for one in parameters.column("NAME")]
        fixed = int(parameters.cards.get("NINTPARM") or len(names))
        kT, metal = (_axis(names[:fixed], known) for known in (_TEMPERATURE, _ABUNDANCE))
        extra = [place for place, name in enumerate(names[fixed:]) if name.startswith(_ABUNDANCE)]
        if kT is None or set(range(fixed)) - {kT, metal} or (metal is None and not extra):
            raise InputError(
                f"{path.name}: its parameters are {', '.join(names) or 'none'}; give a table of "
                "kT and Abundanc"
            )
        edges = np.append(energies.energy("ENERG_LO"), energies.energy("ENERG_HI")[-1])
        points = np.asarray(spectra.column("PARAMVAL"), np.float64).reshape(spectra.rows, -1)
        values = np.asarray(spectra.column("INTPSPEC"), np.float64)
        if metal is None:
            added = np.asarray(spectra.column(f"ADDSP{extra[0] + 1:03d}"), np.float64)
            abundance, columns = np.array([0.0, 1.0]), np.stack([values, values + added], axis=1)
            temperature, order = np.unique(points[:, kT], return_index=True)
            photons = columns[order]
        else:
            temperature, abundance, photons = _grid(points[:, [kT, metal]], values, path)
    if photons.shape[-1] != edges.size - 1 or not np.all(np.diff(edges) > 0):
        raise InputError(
            f"{path.name}: spectra have {photons.shape[-1]} bins, ENERGIES {edges.size - 1} that "
            "should increase; write the table again"
        )
    return TableModel(_title(path), edges, temperature, abundance, photons)


def _grid(points: Array, values: Array, path: Path) -> tuple[Array, Array, Array]:
    """Put rows that may come in any order on their grid."""
    temperature, at = np.unique(points[:, 0], return_inverse=True)
    abundance, of = np.unique(points[:, 1], return_inverse=True)
    wanted = temperature.size * abundance.size
    if np.unique(at * abundance.size + of).size != wanted or abundance.size < 2:
        raise InputError(
            f"{path.name}: {points.shape[0]} spectra for {temperature.size} temperatures and "
            f"{abundance.size} abundances; give every pair, and two abundances at least"
        )
    photons = np.zeros((temperature.size, abundance.size, values.shape[1]))
    photons[at, of] = values
    return temperature, abundance, photons


def _axis(names: list[str], known: tuple[str, ...]) -> int | None:
    """Find the parameter whose name begins with one of those known."""
    found = [place for place, name in enumerate(names) if name.startswith(known)]
    return found[0] if found else None


def _table(file: OgipFile, name: str) -> OgipTable:
    """Find an extension by its name."""
    found = file.tables((name,), (name,))
    if not found:
        raise InputError(
            f"{file.name}: no extension {name}, only {file.contents()}; give an XSPEC table model"
        )
    return found[0]


def _refuse_other_models(path: Path) -> None:
    """Refuse models that multiply."""
    with OgipFile(path):
        header = fits.getheader(path)
    if header.get("ADDMODEL") is False:
        raise InputError(f"{path.name}: ADDMODEL is F, it multiplies; give an additive table model")


def _title(path: Path) -> str:
    """Give the name of the model."""
    return str(fits.getheader(path).get("MODLNAME", path.stem)).strip()
