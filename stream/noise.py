"""The noise of a spectrum: from its variance, or measured where there is no light.

- ``variance``: the cube's own, channel by channel.
- ``band``: an FTS spreads photon noise evenly over all wavenumbers, so the channels outside the
  filter's band measure it; the fitted lines, whose wings reach there, are taken out first.
- ``imaginary``: the imaginary part of a phase-corrected spectrum holds noise alone.
- ``residual``: scatter about the fit itself; chi2 is then dof by construction.

All but the first give one number for a spectrum, so they only scale the errors of a fit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..io.errors import InputError
from ..io.records import CubeHeader, SpectralBatch
from ..kernels.scatter import runs_of
from .spectral_model import SpectralModel

Array = NDArray[np.float64]

_MARGIN = 0.1  # of a band's width: there the flanks of SITELLE's filters pass below 1e-3
_FEWEST = 20  # channels that measure a noise to 16 %


@dataclass(frozen=True, slots=True)
class NoiseChoice:
    """Where the noise of a cube comes from.

    Parameters
    ----------
    kind : {"variance", "band", "imaginary", "residual"}
    band : (low, high) or None
        For "band": light may be found between these [cm-1].
    """

    kind: str
    band: tuple[float, float] | None = None

    def dark_channels(self, model: SpectralModel, scale: float) -> NDArray[np.bool_]:
        """Channels outside the band for a spaxel whose axis is stretched by `scale`."""
        if self.band is None:
            return np.zeros(model.coordinate.size, dtype=bool)
        wavenumber = model.coordinate * scale
        return (wavenumber < self.band[0]) | (wavenumber > self.band[1])


def take(array: NDArray, rows: NDArray[np.int64], channels: NDArray[np.bool_]) -> NDArray:
    """Copy some channels of some spaxels, and no others on the way."""
    runs = runs_of(channels)
    return array[rows, slice(*runs[0])] if len(runs) == 1 else array[rows][:, channels]


def choose_noise(header: CubeHeader, model: SpectralModel, asked: str) -> NoiseChoice:
    """Take the noise asked for, or with "auto" the best the cube allows.

    Raises
    ------
    InputError
        If the cube does not have what was asked for.
    """
    band = _dark_band(header, model)
    possible = {
        "variance": header.has_variance,
        "band": band is not None,
        "imaginary": header.has_imaginary,
        "residual": True,
    }
    if asked == "auto":
        asked = next(kind for kind, there in possible.items() if there)
    if not possible[asked]:
        others = ", ".join(kind for kind, there in possible.items() if there)
        raise InputError(
            f"{header.name}: --noise {asked} is not in this cube; it allows auto, {others}"
        )
    return NoiseChoice(asked, band if asked == "band" else None)


def _dark_band(header: CubeHeader, model: SpectralModel) -> tuple[float, float] | None:
    """Band with its margins, if enough channels lie outside it."""
    if header.band is None or model.kind != "wavenumber":
        return None
    margin = _MARGIN * (header.band[1] - header.band[0])
    band = header.band[0] - margin, header.band[1] + margin
    dark = (model.coordinate < band[0]) | (model.coordinate > band[1])
    return band if model.stretched or np.count_nonzero(dark) >= _FEWEST else None


def rough_noise(spectra: NDArray[np.floating]) -> Array:
    """Robust scatter of the differences of neighbours: a first guess that lines hardly disturb."""
    differences = np.diff(spectra, axis=1).astype(np.float64)
    empty = ~np.isfinite(differences).any(axis=1)
    differences[empty] = 0.0
    spread = np.nanmedian(np.abs(differences), axis=1) * 1.4826 / np.sqrt(2)
    return np.where(empty | (spread <= 0), np.nan, spread)


def weights(batch: SpectralBatch, rows: NDArray, channels: NDArray[np.bool_]) -> NDArray:
    """One over the standard deviation from the cube's variance, zero where a channel is bad."""
    assert batch.variance is not None
    variance, data = (take(array, rows, channels) for array in (batch.variance, batch.data))
    good = np.isfinite(data) & np.isfinite(variance) & (variance > 0)
    return np.where(good, 1.0 / np.sqrt(np.where(good, variance, 1.0), dtype=np.float64), 0.0)


def even(data: NDArray[np.floating], noise: Array) -> Array:
    """One over a noise that is one number for a spectrum without bad channels: a view, no array."""
    return np.broadcast_to((1.0 / noise)[:, None], data.shape)


def is_even(weight: NDArray[np.floating]) -> bool:
    """Tell whether weights are a view of one number for each spectrum."""
    return weight.strides[1] == 0


def weights_of(weight: NDArray[np.floating], rows: NDArray[np.integer]) -> NDArray:
    """Weights of some spectra; those that were even stay a view."""
    if is_even(weight):
        return np.broadcast_to(weight[rows, :1], (rows.size, weight.shape[1]))
    return weight[rows]


def even_weights(data: NDArray[np.floating], noise: Array) -> Array:
    """One over a noise that is one number for a spectrum, zero where a channel is bad."""
    usable = np.isfinite(data) & (noise[:, None] > 0)
    return np.where(usable, 1.0 / np.where(noise > 0, noise, 1.0)[:, None], 0.0)


def typical_noise(weight: Array) -> Array:
    """Median standard deviation of the channels in use; NaN where there is none."""
    sigma = np.where(weight > 0, 1.0 / np.where(weight > 0, weight, 1.0), np.nan)
    empty = ~(weight > 0).any(axis=1)
    sigma[empty] = 0.0
    return np.where(empty, np.nan, np.nanmedian(sigma, axis=1))
