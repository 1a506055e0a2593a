"""A made-up X-ray telescope on the plan of Chandra's ACIS: area, redistribution and background.

The area is that of iridium mirrors with their M edges, behind a layer of contamination, with the
depth of silicon; the redistribution a Gaussian of 102 eV full width at 1 keV and 146 at 6, with a
low tail, a shelf, silicon's escape peak above its K edge, and its fluorescence. Numbers are typical
of the ACIS-S response files of cycle 6 to 15, not copies of any.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import ndtr

from ..io.observations import Response

Array = NDArray[np.float64]

CHANNELS = 1024
CHANNEL_WIDTH = 0.0146  # keV, a PI channel of ACIS
_FIRST_ENERGY, _LAST_ENERGY, _STEP = 0.22, 11.0, 0.01  # keV
_ESCAPE, _SILICON = 1.739, 1.839  # keV: K fluorescence and K edge of silicon
_FWHM = 2.3548200450309493
# FWHM^2 = 8222 + 2182 E [eV^2, keV]: 102 eV at 1 keV, 146 at 6.
_WIDTH_FLOOR, _WIDTH_SLOPE = 8222e-6, 2182e-6
_IRIDIUM = ((2.040, 0.12), (2.085, 0.14), (2.155, 0.06), (2.290, 0.05), (2.550, 0.03))
# Energy [keV] and relative strength of Si, Au, Mn and Ni in the background.
_FLUORESCENCE = ((1.74, 0.4), (2.14, 1.0), (5.9, 0.3), (7.48, 1.5))
_NEGLIGIBLE = 1e-6  # of a row, left out of the matrix


@dataclass(frozen=True, slots=True)
class Character:
    """How one telescope differs from the next.

    Parameters
    ----------
    peak : float
        Area about 1.5 keV [cm2].
    contamination : float
        Optical depth at 0.67 keV; it grows over the years.
    tilt : float
        Power of energy the area is multiplied with.
    gain, width : float
        Factors of the energies of the channels and of the widths of lines.
    """

    peak: float = 650.0
    contamination: float = 0.8
    tilt: float = 0.0
    gain: float = 1.0
    width: float = 1.0

    @classmethod
    def drawn(cls, generator: np.random.Generator) -> "Character":
        """Draw one."""
        return cls(
            generator.uniform(300.0, 700.0),
            generator.uniform(0.2, 2.0),
            generator.uniform(-0.1, 0.1),
            generator.uniform(0.995, 1.005),
            generator.uniform(0.95, 1.1),
        )


def response(name: str, character: Character) -> Response:
    """Make the response of one telescope.

    Parameters
    ----------
    name : str
    character : Character

    Returns
    -------
    Response
        1078 energies of 10 eV from 0.22 keV on, 1024 channels of 14.6 eV counted from 1.
    """
    bins = round((_LAST_ENERGY - _FIRST_ENERGY) / _STEP)
    edges = _FIRST_ENERGY + _STEP * np.arange(bins + 1, dtype=np.float64)
    centre = 0.5 * (edges[1:] + edges[:-1])
    channels = CHANNEL_WIDTH * np.arange(CHANNELS + 1, dtype=np.float64)
    return Response(
        name=name,
        energy_low=edges[:-1],
        energy_high=edges[1:],
        area=area(centre, character),
        matrix=redistribution(centre, channels, character),
        channel_low=channels[:-1],
        channel_high=channels[1:],
        first_channel=1,
    )


def area(energy: Array, character: Character) -> Array:
    """Give the effective area [cm2], of the shape of `energy` [keV]."""
    mirror = 1.0 / (1.0 + np.power(energy / 5.2, 4.5))
    for edge, drop in _IRIDIUM:
        mirror = mirror * (1.0 - drop * ndtr((energy - edge) / 0.005))
    edges = np.where(energy > 0.69, 1.06, 1.0) * np.where(energy > 0.535, 1.0, 0.8)
    layer = np.minimum(character.contamination * edges * np.power(energy / 0.67, -2.7), 30.0)
    silicon = np.power(energy / _SILICON, -3.0) * np.where(energy > _SILICON, 11.0, 1.0)
    detected = np.exp(-0.03 * silicon) * -np.expm1(-4.0 * silicon)
    tilt = np.power(energy / 1.5, character.tilt)
    return character.peak * mirror * np.exp(-layer) * detected * tilt


def redistribution(energy: Array, channels: Array, character: Character) -> csr_array:
    """Give where photons are counted.

    Parameters
    ----------
    energy : ndarray, shape (energy,)
        [keV].
    channels : ndarray, shape (channel + 1,)
        Nominal edges [keV].
    character : Character

    Returns
    -------
    csr_array of float32, shape (energy, channel)
        Rows sum to one, less what falls beyond the channels.
    """
    at, photon = channels / character.gain, energy[:, None]
    sigma = character.width * np.sqrt(_WIDTH_FLOOR + _WIDTH_SLOPE * photon) / _FWHM
    above = photon > _SILICON
    tail, shelf, escape, glow = 0.02, 0.01, 0.008 * above, 0.004 * above
    below = (
        (1.0 - tail - shelf - escape - glow) * ndtr((at - photon) / sigma)
        + tail * np.exp(np.minimum((at - photon) / (2.5 * sigma), 0.0))
        + shelf * np.clip(at / photon, 0.0, 1.0)
        + escape * ndtr((at - photon + _ESCAPE) / sigma)
        + glow * ndtr((at - _ESCAPE) / sigma)
    )
    matrix = np.diff(below, axis=1)
    matrix[matrix < _NEGLIGIBLE] = 0.0
    return csr_array(matrix.astype(np.float32))


def background_shape(channel_centre: Array) -> Array:
    """Give the background of particles in each channel, its sum over 0.5 to 7 keV one.

    Parameters
    ----------
    channel_centre : ndarray, shape (channel,)
        [keV].
    """
    energy = np.maximum(channel_centre, 0.05)
    shape = 0.25 * np.power(energy, -0.4) + 0.02 * np.square(energy / 4.0)
    for line, strength in _FLUORESCENCE:
        sigma = np.sqrt(_WIDTH_FLOOR + _WIDTH_SLOPE * line) / _FWHM
        shape = shape + 0.4 * strength * np.exp(-0.5 * np.square((energy - line) / sigma))
    band = (energy >= 0.5) & (energy < 7.0)
    return shape / shape[band].sum()
