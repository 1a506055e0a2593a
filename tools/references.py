"""What others measured on the real data, read into one form.

- ifscube (Ruschel-Dutra) fits Gaussians in relativistic velocity to spectra taken to the rest frame
  and multiplied by 1 + z. A flux integrated over rest wavelengths is then the observed one; an
  amplitude is 1 + z times the observed one. The dispersion is as observed, the instrument's
  included.
- LZIFU (Ho et al. 2016) as released in SAMI DR3 (Croom et al. 2021): maps of observed flux,
  velocity and dispersion with errors; the instrument's width is taken out of the dispersion, and a
  stellar continuum was subtracted before the lines were fitted.
- ORB and ORCS (Martin, Prunet & Drissen 2016): numbers of a few spectra, velocities relativistic.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

Array = NDArray[np.float64]

IFSCUBE_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "NII6548": "n2_6548",
        "Halpha": "ha",
        "NII6583": "n2_6583",
        "SII6716": "s2_6716",
        "SII6731": "s2_6731",
    }
)
# Rest wavelengths of the two ifscube configurations, air [nm].
IFSCUBE_LINES: Mapping[str, float] = MappingProxyType(
    {
        "NII6548": 654.804,
        "Halpha": 656.280,
        "NII6583": 658.346,
        "SII6716": 671.644,
        "SII6731": 673.081,
    }
)
# Its amplitudes are tied by 3.06; lines of the same velocity dispersion then have fluxes in the
# ratio of amplitude times wavelength.
IFSCUBE_NII = 3.06 * IFSCUBE_LINES["NII6583"] / IFSCUBE_LINES["NII6548"]


@dataclass(frozen=True, slots=True)
class Published:
    """Maps of a published fit, shape (y, x).

    Parameters
    ----------
    good : ndarray of bool
        Spaxels their authors call fitted.
    velocity, broadening : ndarray
        In km/s, as their authors define them.
    flux, amplitude : dict of line to ndarray
        As observed; a dict may be empty.
    velocity_err, broadening_err : ndarray or None
    flux_err : dict of line to ndarray
    """

    good: NDArray[np.bool_]
    velocity: Array
    broadening: Array
    flux: dict[str, Array]
    amplitude: dict[str, Array] = field(default_factory=dict)
    velocity_err: Array | None = None
    broadening_err: Array | None = None
    flux_err: dict[str, Array] = field(default_factory=dict)


def read_ifscube(path: Path, redshift: float) -> Published:
    """Read a line fit of ifscube.

    Parameters
    ----------
    path : Path
        Its ``*_linefit.fits``.
    redshift : float
        By which the spectra were taken to the rest frame.
    """
    solution, fluxes, status = (_image(path, name) for name in ("SOLUTION", "FLUX_M", "STATUS"))
    table: Any = fits.getdata(path, "FEATWL")
    features = [str(name).strip() for name in table["feature"]]
    index = {line: features.index(name) for line, name in IFSCUBE_NAMES.items() if name in features}
    return Published(
        good=(status == 0) & np.isfinite(solution).all(axis=0) & (solution[2] > 0),
        velocity=solution[1],
        broadening=solution[2],
        flux={line: fluxes[i] for line, i in index.items()},
        amplitude={line: solution[3 * i] / (1 + redshift) for line, i in index.items()},
    )


def read_lzifu(folder: Path, galaxy: str, lines: tuple[str, ...]) -> Published:
    """Read the one-component maps of a SAMI galaxy in sectors.

    Parameters
    ----------
    folder : Path
    galaxy : str
        "41144_A".
    lines : tuple of str
        Whose fluxes are wanted.
    """

    def pair(name: str) -> tuple[Array, Array]:
        path = folder / f"{galaxy}_{name}_sectors_1-comp.fits"
        value, error = _image(path, 0), _image(path, 1)
        # The first plane is the total, or the only component.
        return (value[0], error[0]) if value.ndim == 3 else (value, error)

    velocity, velocity_err = pair("gas-velocity")
    broadening, broadening_err = pair("gas-vdisp")
    fluxes = {line: pair(line) for line in lines}
    return Published(
        good=np.isfinite(velocity) & np.isfinite(broadening),
        velocity=velocity,
        broadening=broadening,
        flux={line: value for line, (value, _) in fluxes.items()},
        velocity_err=velocity_err,
        broadening_err=broadening_err,
        flux_err={line: error for line, (_, error) in fluxes.items()},
    )


def one_of_each_bin(cube: Path) -> NDArray[np.bool_]:
    """First spaxel of every bin of a SAMI cube, shape (y, x): all spaxels of one hold the same."""
    bins = _image(cube, "BIN_MASK")
    numbers, first = np.unique(bins, return_index=True)
    chosen = np.zeros(bins.size, dtype=bool)
    chosen[first[numbers > 0]] = True
    return chosen.reshape(bins.shape)


def _image(path: Path, extension: str | int) -> Array:
    """Read an image extension."""
    return np.array(fits.getdata(path, extension), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Quoted:
    """A number as its authors quote it."""

    value: float
    error: float


# ORB's fits of two spectra it is distributed with: fluxes in the unit of the spectrum times
# angstrom, velocities relativistic [km/s], broadening of the sincgauss fit [km/s].
M57: Mapping[str, Quoted] = MappingProxyType(
    {
        "Halpha": Quoted(6.92e-17, 0.25e-17),
        "NII6583": Quoted(9.78e-17, 0.25e-17),
        "velocity": Quoted(67.3, 1.1),
        "broadening": Quoted(19.3, 3.4),
    }
)
M31: Mapping[str, Quoted] = MappingProxyType(
    {
        "Halpha": Quoted(2.53e5, 1.53e4),
        "NII6583": Quoted(7.35e4, 1.54e4),
        "velocity": Quoted(-507.57, 1.64),
    }
)
# ORCS on the same nebula in a slightly smaller aperture, sincgauss.
M31_ORCS: Mapping[str, Quoted] = MappingProxyType(
    {"velocity": Quoted(-506.9, 1.4), "broadening": Quoted(27.1, 1.7)}
)
