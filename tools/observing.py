"""A simulated observation: sky and instrument give spectra with noise, defects and their truth.

Every spaxel has its own stream of random numbers (Philox, keyed by the seed and the position), so a
spectrum is the same however the cube is cut into slabs, and whatever part of it is simulated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from .filters import off_axis_corr
from .scenes import DRAWS, SCENES, Field
from .spectrographs import Instrument, Light, Motion

Array = NDArray[np.float64]

# The continuum is quoted under the first of these in the band.
_STRONGEST = ("Halpha", "OIII5007", "Hbeta", "OII3729")

# What is wrong with a spaxel, as the truth table names it; "" where nothing is.
DEFECTS = ("dead", "zero", "gaps", "empty", "cosmic")


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the sky is seen.

    Parameters
    ----------
    shape : (nx, ny)
        Spaxels of the field.
    scene : str
        A key of `scenes.SCENES`.
    snr : (low, high)
        Peak of the brightest line over the noise of a channel.
    continuum : (low, high)
        Continuum over the peak of the brightest line.
    noise : float
        Typical standard deviation of the noise in a channel, in the unit of the data.
    bad : float
        Share of spaxels with a defect.
    seed : int
        Not negative.
    with_imaginary : bool
        Whether the cube is complex.
    one_angle : float
        corr of every spaxel; 0 for the off-axis geometry of the instrument.
    loudness : ndarray, shape (channel,), or None
        Noise of each channel relative to a quiet one, as under sky lines; None for white noise.
    """

    shape: tuple[int, int]
    scene: str
    snr: tuple[float, float]
    continuum: tuple[float, float]
    noise: float
    bad: float
    seed: int
    with_imaginary: bool = False
    one_angle: float = 0.0
    loudness: Array | None = None


@dataclass(frozen=True, slots=True)
class Slab:
    """Simulated spectra.

    Parameters
    ----------
    data : ndarray of float32, shape (spaxel, channel)
        NaN in a dead spaxel and in gaps.
    imaginary : ndarray of float32, shape (spaxel, channel), or None
        Noise alone, of a complex cube.
    flagged : ndarray of bool, shape (spaxel, channel)
        Channels a pipeline would have flagged as bad.
    loudness : ndarray, shape (channel,)
        Noise of each channel relative to a quiet one.
    truth : dict of ndarray, shape (spaxel,)
        Columns of the truth table.
    """

    data: NDArray[np.float32]
    imaginary: NDArray[np.float32] | None
    flagged: NDArray[np.bool_]
    loudness: Array
    truth: Mapping[str, NDArray]

    @property
    def corr(self) -> Array:
        """1 / cos(theta), shape (spaxel,)."""
        return self.truth["corr"]

    @property
    def noise(self) -> Array:
        """Standard deviation in a quiet channel, shape (spaxel,)."""
        return self.truth["noise"]

    @property
    def variance(self) -> NDArray[np.float32]:
        """Variance of the noise, shape (spaxel, channel)."""
        return np.square(self.noise[:, None] * self.loudness).astype(np.float32)

    def take(self, rows: NDArray[np.intp]) -> "Slab":
        """Spectra of the named rows, repeated where a row is."""
        return replace(
            self,
            data=self.data[rows],
            imaginary=None if self.imaginary is None else self.imaginary[rows],
            flagged=self.flagged[rows],
            truth={name: column[rows] for name, column in self.truth.items()},
        )


@dataclass(frozen=True, slots=True)
class _Chance:
    """Random numbers of some spaxels: uniform (spaxel, DRAWS), normal (spaxel, channel) twice."""

    uniform: Array
    real: NDArray[np.float32]
    imaginary: NDArray[np.float32] | None


def _chance(
    conditions: Conditions, x: NDArray[np.int32], y: NDArray[np.int32], channels: int
) -> _Chance:
    out = _Chance(
        np.empty((x.size, DRAWS + 8)),
        np.empty((x.size, channels), np.float32),
        np.empty((x.size, channels), np.float32) if conditions.with_imaginary else None,
    )
    place = (x.astype(np.uint64) << np.uint64(32)) | y.astype(np.uint64)
    for i, key in enumerate(place):
        stream = Generator(Philox(key=np.array([conditions.seed, key], np.uint64)))
        stream.random(out=out.uniform[i])
        stream.standard_normal(out=out.real[i], dtype=np.float32)
        if out.imaginary is not None:
            stream.standard_normal(out=out.imaginary[i], dtype=np.float32)
    return out


def observe(
    instrument: Instrument, conditions: Conditions, x: NDArray[np.int32], y: NDArray[np.int32]
) -> Slab:
    """Simulate the spectra of some spaxels.

    Parameters
    ----------
    instrument : Instrument
        Axis, line shape and lines.
    conditions : Conditions
        Scene, signal-to-noise ratio and seed.
    x, y : ndarray of int32, shape (spaxel,)
        0-based positions.

    Returns
    -------
    Slab
        In the order of `x` and `y`.
    """
    chance = _chance(conditions, x, y, instrument.channels)
    u, v = (x + 0.5) / conditions.shape[0], (y + 0.5) / conditions.shape[1]
    field = Field(u, v, chance.uniform[:, :DRAWS], conditions.seed)
    sky = SCENES[conditions.scene](field, instrument.lines)
    corr = off_axis_corr(u, v)
    if conditions.one_angle:
        corr = np.full_like(corr, conditions.one_angle)
    motion = Motion(sky.velocity, sky.broadening, corr)
    defect = _defects(chance.uniform[:, DRAWS], conditions.bad)

    noise = conditions.noise * sky.noise
    low, high = conditions.snr
    snr = low * (high / low) ** sky.brightness
    areas = instrument.areas(motion)
    peaks = sky.fluxes / areas * instrument.transmission(motion)
    peaks *= (snr * noise / peaks.max(axis=1))[:, None]
    peaks[defect == "empty"] = 0.0
    low, high = conditions.continuum
    continuum = (low + (high - low) * sky.continuum) * snr * noise
    under = continuum * (1 + sky.slope * instrument.places(motion)[:, _reference(instrument.lines)])

    clean = instrument.spectra(motion, Light(peaks, continuum, sky.slope))
    loudness = conditions.loudness
    loudness = np.ones(instrument.channels) if loudness is None else loudness
    sigma = (noise[:, None] * loudness).astype(np.float32)
    data = (clean + sigma * chance.real).astype(np.float32)
    flagged = _damage(data, defect, noise, chance.uniform[:, DRAWS + 1 :])
    imaginary = None
    if chance.imaginary is not None:
        imaginary = np.where(flagged, np.float32(0) * data, sigma * chance.imaginary)
    truth = {
        "x": x,
        "y": y,
        "velocity": sky.velocity,
        "broadening": sky.broadening,
        "continuum": under,
        "continuum_slope": sky.slope,
        "noise": noise,
        "snr": np.where(defect == "empty", 0.0, snr),
        "corr": corr,
        "bad": defect,
    }
    for k, name in enumerate(instrument.lines):
        truth[f"{name}_amplitude"] = peaks[:, k]
        truth[f"{name}_flux"] = peaks[:, k] * areas[:, k]
    return Slab(
        data,
        imaginary,
        flagged,
        loudness,
        truth,
    )


def _reference(lines: Sequence[str]) -> int:
    """Index of the line under which the continuum is quoted."""
    return next((lines.index(name) for name in _STRONGEST if name in lines), 0)


def _defects(draw: Array, share: float) -> NDArray[np.str_]:
    """Name the defect of each spaxel from a uniform random number; "" for none."""
    names = np.array((*DEFECTS, ""))
    scaled = np.floor(draw * (len(DEFECTS) / share)) if share > 0 else np.full(draw.shape, np.inf)
    return names[np.minimum(scaled, len(DEFECTS)).astype(int)]


def _damage(
    data: NDArray[np.float32], defect: NDArray[np.str_], noise: Array, draws: Array
) -> NDArray[np.bool_]:
    """Put the defects into the data, in place; say which channels a pipeline would flag."""
    flagged = np.zeros(data.shape, bool)
    channel = np.arange(data.shape[1])
    data[defect == "zero"] = 0.0
    flagged[(defect == "dead") | (defect == "zero")] = True
    for row in np.flatnonzero(defect == "gaps"):
        start, length, stride = draws[row, :3] * (0.9, 0.15, 30) + (0, 0.02, 20)
        inside = (channel >= start * channel.size) & (channel < (start + length) * channel.size)
        flagged[row] = inside | (channel % int(stride) == 0)
    for row in np.flatnonzero(defect == "cosmic"):
        # A hit on one step of the interferogram is a cosine over the whole spectrum.
        cycles, phase, strength = draws[row, 3:6] * (0.4 * channel.size, 2 * np.pi, 6) + (5, 0, 4)
        wave = np.cos(2 * np.pi * cycles * channel / channel.size + phase)
        data[row] += (strength * noise[row] * wave).astype(np.float32)
    data[flagged & (defect != "zero")[:, None]] = np.nan
    return flagged
