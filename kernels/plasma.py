"""Photon spectra of hot plasmas, power laws and lines, absorbed and redshifted.

A model is a sum of photon numbers on the fine bins of a table (5 eV up to 12 keV), multiplied by a
transmission and then brought to whatever bins are asked for:

    photons = thermal(table, kT, Z, z) + power_law(table.edges, index)
    photons = photons * transmission(table, nH)
    flux = flux_density(table.edges, photons, edges)              [photons/cm2/s/keV]

The table holds, for the norm of XSPEC,

    norm = 1e-14 / (4 pi D_A^2 (1 + z)^2) int n_e n_H dV,

the photons/cm2/s of each bin at each temperature, once for hydrogen and helium and once for the
metals at one solar abundance. Emission is linear in the abundance to 0.7 % up to 1.2 solar, and
its logarithm nearly so in ln kT between neighbouring temperatures. A redshift moves a photon from E
to E / (1 + z) and spreads arrivals by (1 + z). Absorption is exp(-nH sigma(E)).

The table is computed by `tools/build_plasma.py` and opened by `models/tables.py`, or read from an
additive table model of XSPEC. All functions take leading batch axes in their parameters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]

_USUAL_ABUNDANCE = 0.8  # where the error of linearity is least between 0 and 1.2 solar
_TINY = 1e-30  # photons/cm2/s under which a bin is empty


@dataclass(frozen=True, slots=True)
class PlasmaTable:
    """Thermal emission and absorption on fine bins.

    Parameters
    ----------
    edges : ndarray, shape (bin + 1,)
        [keV], increasing.
    temperature : ndarray, shape (temperature,)
        kT [keV], increasing.
    primordial : ndarray, shape (temperature, bin)
        Photons of hydrogen and helium at norm 1 [photons/cm2/s].
    metals : ndarray, shape (temperature, bin)
        The same of all heavier elements at one solar abundance.
    cross_section : ndarray, shape (bin,)
        Photoelectric absorption per hydrogen atom [1e-22 cm2].
    """

    edges: Array
    temperature: Array
    primordial: Array
    metals: Array
    cross_section: Array

    def __post_init__(self) -> None:
        """Refuse shapes that disagree and axes that do not increase."""
        size = self.temperature.size, self.edges.size - 1
        for name, shape in (("primordial", size), ("metals", size), ("cross_section", size[1:])):
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"{name} has shape {found}, the axes say {shape}")
        for name in ("edges", "temperature"):
            if not np.all(np.diff(getattr(self, name)) > 0) or getattr(self, name)[0] <= 0:
                raise ValueError(f"{name} of a plasma table must be positive and increase")


def from_grid(
    edges: Array, temperature: Array, abundance: Array, photons: Array, absorber: PlasmaTable
) -> PlasmaTable:
    """Make a table of thermal spectra on a grid, as `io.table_model` reads them.

    Parameters
    ----------
    edges : ndarray, shape (bin + 1,)
        [keV].
    temperature : ndarray, shape (temperature,)
        kT [keV].
    abundance : ndarray, shape (abundance,)
        At least two; of the metals the line through the least and the one nearest 0.8 is taken.
    photons : ndarray, shape (temperature, abundance, bin)
        At norm 1 [photons/cm2/s].
    absorber : PlasmaTable
        Whose absorption is taken over.

    Returns
    -------
    PlasmaTable
    """
    low, high = 0, 1 + int(np.argmin(np.abs(abundance[1:] - _USUAL_ABUNDANCE)))
    rise = (photons[:, high] - photons[:, low]) / (abundance[high] - abundance[low])
    without = np.maximum(photons[:, low] - abundance[low] * rise, 0.0)
    centre = 0.5 * (edges[1:] + edges[:-1])
    known = 0.5 * (absorber.edges[1:] + absorber.edges[:-1])
    depth = np.exp(np.interp(np.log(centre), np.log(known), np.log(absorber.cross_section)))
    return PlasmaTable(edges, temperature, without, rise, depth)


def thermal(
    table: PlasmaTable,
    temperature: ArrayLike,
    abundance: ArrayLike = 1.0,
    redshift: ArrayLike = 0.0,
    norm: ArrayLike = 1.0,
) -> Array:
    """Give the photons of an optically thin plasma in collisional equilibrium.

    Parameters
    ----------
    table : PlasmaTable
    temperature : array_like, shape (...)
        kT [keV]; the ends of the table are taken beyond them.
    abundance : array_like, shape (...)
        Of the metals, in units of the Sun's; zero for hydrogen and helium alone.
    redshift : array_like, shape (...)
        Photons from beyond the table's last energy are missing.
    norm : array_like, shape (...)
        As in XSPEC.

    Returns
    -------
    ndarray, shape (..., bin)
        As observed [photons/cm2/s].
    """
    given = temperature, abundance, redshift, norm
    kT, metal, z, scale = np.broadcast_arrays(*(np.asarray(one, np.float64) for one in given))
    log_axis = np.log(table.temperature)
    place = np.interp(np.log(kT), log_axis, np.arange(log_axis.size))
    low = np.minimum(place.astype(np.int64), max(log_axis.size - 2, 0))
    high = np.minimum(low + 1, log_axis.size - 1)
    part = (place - low)[..., None]
    below, above = (
        np.log(table.primordial[at] + metal[..., None] * table.metals[at] + _TINY)
        for at in (low, high)
    )
    photons = np.exp((1.0 - part) * below + part * above) * scale[..., None]
    return photons if not np.any(z) else _redshifted(table.edges, photons, z)


def power_law(edges: Array, index: ArrayLike, norm: ArrayLike = 1.0) -> Array:
    """Give the photons of norm E^-index.

    Parameters
    ----------
    edges : ndarray, shape (bin + 1,)
        [keV].
    index : array_like, shape (...)
        Photon index.
    norm : array_like, shape (...)
        Flux density at 1 keV [photons/cm2/s/keV].

    Returns
    -------
    ndarray, shape (..., bin)
        Integrated over each bin [photons/cm2/s].
    """
    slope = 1.0 - np.asarray(index, np.float64)[..., None]
    scale = np.asarray(norm, np.float64)[..., None]
    log_low, width = np.log(edges[:-1]), np.diff(np.log(edges))
    # int E^-index dE = E1^slope (exp(slope width) - 1) / slope, which is `width` without a slope.
    flat = np.abs(slope) < 1e-12
    safe = np.where(flat, 1.0, slope)
    shape = np.where(flat, width, np.expm1(safe * width) / safe)
    return scale * np.exp(slope * log_low) * shape


def gaussian_line(
    edges: Array, energy: ArrayLike, sigma: ArrayLike = 0.0, norm: ArrayLike = 1.0
) -> Array:
    """Give the photons of a line.

    Parameters
    ----------
    edges : ndarray, shape (bin + 1,)
        [keV].
    energy : array_like, shape (...)
        Of its centre [keV].
    sigma : array_like, shape (...)
        Standard deviation [keV]; zero puts all photons in one bin.
    norm : array_like, shape (...)
        Photons of the whole line [photons/cm2/s].

    Returns
    -------
    ndarray, shape (..., bin)
    """
    centre = np.asarray(energy, np.float64)[..., None]
    # Narrower than 1e-9 keV nothing changes but a division by zero.
    width = np.maximum(np.asarray(sigma, np.float64), 1e-9)[..., None]
    below = ndtr((edges - centre) / width)
    return np.asarray(norm, np.float64)[..., None] * np.diff(below, axis=-1)


def transmission(table: PlasmaTable, column: ArrayLike, redshift: float = 0.0) -> Array:
    """Give the part of the photons that cold gas lets through.

    Parameters
    ----------
    table : PlasmaTable
    column : array_like, shape (...)
        Hydrogen column density [1e22 cm-2].
    redshift : float
        Of the gas.

    Returns
    -------
    ndarray, shape (..., bin)
    """
    sigma = table.cross_section
    if redshift:
        centre = 0.5 * (table.edges[1:] + table.edges[:-1])
        sigma = np.interp(centre * (1.0 + redshift), centre, sigma)
    return np.exp(-np.asarray(column, np.float64)[..., None] * sigma)


def rebin(edges: Array, photons: Array, onto: Array) -> Array:
    """Bring photons to other bins, taken to be spread evenly within each fine one.

    Parameters
    ----------
    edges : ndarray, shape (bin + 1,)
        [keV].
    photons : ndarray, shape (..., bin)
    onto : ndarray, shape (energy + 1,)
        [keV]; nothing is beyond `edges`.

    Returns
    -------
    ndarray, shape (..., energy)
    """
    return np.diff(
        _cumulative(edges, photons, np.broadcast_to(onto, (*photons.shape[:-1], onto.size)))
    )


def flux_density(edges: Array, photons: Array, onto: Array) -> Array:
    """Give the photon flux density averaged over bins.

    Parameters
    ----------
    edges : ndarray, shape (bin + 1,)
        [keV].
    photons : ndarray, shape (..., bin)
        [photons/cm2/s].
    onto : ndarray, shape (energy + 1,)
        [keV].

    Returns
    -------
    ndarray, shape (..., energy)
        [photons/cm2/s/keV].
    """
    return rebin(edges, photons, onto) / np.diff(onto)


def _redshifted(edges: Array, photons: Array, redshift: Array) -> Array:
    """Give what is observed of photons emitted in the bins."""
    stretch = 1.0 + redshift[..., None]
    return np.diff(_cumulative(edges, photons, edges * stretch)) / stretch


def _cumulative(edges: Array, photons: Array, at: Array) -> Array:
    """Give the photons below energies, shape of `at`."""
    total = np.zeros((*photons.shape[:-1], edges.size))
    np.cumsum(photons, axis=-1, out=total[..., 1:])
    if total.ndim == 1:
        return np.interp(at, edges, total)
    rows = total.reshape(-1, edges.size), at.reshape(-1, at.shape[-1])
    found = np.stack([np.interp(one, edges, sums) for sums, one in zip(*rows, strict=True)])
    return found.reshape(at.shape)
