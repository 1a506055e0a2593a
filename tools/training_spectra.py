"""Spectra to train a mixture density network on: any instrument, any gas, and what goes wrong.

An `Observatory` is drawn at random: a Fourier-transform spectrometer behind one of SITELLE's
filters or a grating, its resolving power, sampling, redshift, lines, ties and velocity range. Its
spectra come from the same kernels that fit them, with continuous velocities, broadenings and line
ratios over the whole diagnostic plane, from HII regions to shocks and active nuclei. Some have two
components (the brighter one is the truth), no line, a missing line, residuals of the sky or cosmic
rays, and their noise is known to a few percent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels import scan, score_map, varpro
from ..kernels.axis import GAUSSIAN_FWHM, SINC_FWHM, SPEED_OF_LIGHT
from ..kernels.emission import Continuum, Emission, Shape, resolution_element, tie
from ..kernels.lines import RATIOS, REST_AIR_NM, default_lines
from ..stream.spectral_model import FILTER_WINDOWS

Array = NDArray[np.float64]

VELOCITY = 1000.0  # km/s: usual half range of the search
BROADENING = (1.0, 500.0)  # km/s: range of the search
BROADEST = 300.0  # km/s: of a line
RESOLUTION = (600.0, 9000.0)
HELD_OUT = (1000.0, 2000.0, 3000.0, 5000.0, 7000.0)
_APART = 0.03  # of a resolving power held out: nearer ones are not trained on
_BESIDE = 2000.0  # km/s of continuum beside the search, as the stream fits
_SETS = (
    ("NII6548", "Halpha", "NII6583"),
    ("NII6548", "Halpha", "NII6583", "SII6716", "SII6731"),
    ("NII6548", "Halpha", "NII6583", "SII6716", "SII6731", "OI6300"),
    ("Hbeta", "OIII4959", "OIII5007"),
    ("OII3726", "OII3729"),
    ("Hbeta", "OIII4959", "OIII5007", "NII6548", "Halpha", "NII6583", "SII6716", "SII6731"),
    ("Halpha",),
    ("OIII4959", "OIII5007"),
)


class Spectra(NamedTuple):
    """Spectra in units of the noise they are believed to have, and their truth.

    All but `data` and `noiseless`, (spaxel, channel), have shape (spaxel,); `snr` is that of the
    brightest peak, zero where there is no line; `plain` marks one component with nothing added.
    """

    data: NDArray[np.float32]
    noiseless: NDArray[np.float32]
    velocity: Array
    broadening: Array
    snr: Array
    continuum: Array
    plain: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Observatory:
    """An instrument, the lines that are fitted and where they are looked for."""

    emission: Emission
    continuum: Continuum
    coordinate: Array
    width: Array
    resolution: float
    velocity: tuple[float, float]

    def score_map(self) -> score_map.ScoreMap:
        """Tabulate what a network reads."""
        nodes = scan.build(
            self.emission,
            self.continuum,
            self.coordinate,
            self.width,
            velocity=self.velocity,
            broadening=BROADENING,
        )
        return score_map.build(
            scan.SharedScan.of(nodes),
            self.emission,
            self.continuum,
            self.coordinate,
            self.width,
            velocity=self.velocity,
        )


def draw_observatory(
    rng: np.random.Generator, *, resolution: float | None = None, usual: bool = False
) -> Observatory:
    """Draw an instrument.

    Parameters
    ----------
    rng : Generator
    resolution : float or None
        Resolving power; None draws one that is not held out.
    usual : bool
        True keeps to the default velocity range and ratios.
    """
    power = resolution or _resolution(rng)
    half = VELOCITY if usual or rng.random() < 0.6 else float(rng.uniform(200, 1500))
    ratios = RATIOS if usual or rng.random() < 0.8 else {}
    draw = _fourier if rng.random() < 0.55 else _grating
    return draw(rng, power, (-half, half), ratios)


def _resolution(rng: np.random.Generator) -> float:
    while True:
        power = float(np.exp(rng.uniform(*np.log(RESOLUTION))))
        if all(abs(power / other - 1) > _APART for other in HELD_OUT):
            return power


def _fourier(
    rng: np.random.Generator, power: float, velocity: tuple[float, float], ratios
) -> Observatory:
    """Interferometer behind a filter, with whatever strong lines fall into it."""
    while True:
        name = str(rng.choice(["SN1", "SN2", "SN3", "SN3", "SN3", "SN4", "C1", "C2", "C3", "C4"]))
        low, high = FILTER_WINDOWS[name]
        redshift = float(rng.uniform(0, 0.3)) if name[0] == "C" else float(rng.uniform(0, 0.008))
        edge = 1 + 0.5 * velocity[1] / SPEED_OF_LIGHT
        lines = default_lines(1e7 / high * edge, 1e7 / low / edge, redshift=redshift)
        if lines:
            break
    rest = {line: 1e7 / (REST_AIR_NM[line] * (1 + redshift)) for line in lines}
    width = 0.5 * (low + high) / power / SINC_FWHM
    step = width * float(rng.uniform(0.6, 0.95))
    coordinate = np.arange(low + step * rng.random(), high, step)
    return Observatory(
        tie(rest, shape=Shape.SINCGAUSS, wavenumber=True, ratios=ratios),
        Continuum(((low, high),), 1),
        coordinate,
        np.full(len(rest), width),
        power,
        velocity,
    )


def _grating(
    rng: np.random.Generator, power: float, velocity: tuple[float, float], ratios
) -> Observatory:
    """Slicer or fibres, with continuum about every line."""
    lines = _SETS[int(rng.choice(len(_SETS), p=(0.2, 0.25, 0.1, 0.15, 0.1, 0.1, 0.05, 0.05)))]
    redshift = float(rng.uniform(0, 0.3))
    rest = {line: 10 * REST_AIR_NM[line] * (1 + redshift) for line in lines}
    centres = np.sort(list(rest.values()))
    fwhm = float(centres.mean()) / power
    step = fwhm / float(rng.uniform(1.8, 4.0))
    windows: list[tuple[float, float]] = []
    for centre in centres:
        low = centre * (1 + (velocity[0] - _BESIDE) / SPEED_OF_LIGHT)
        high = centre * (1 + (velocity[1] + _BESIDE) / SPEED_OF_LIGHT)
        if windows and low <= windows[-1][1]:
            windows[-1] = windows[-1][0], high
        else:
            windows.append((low, high))
    grid = np.arange(windows[0][0] + step * rng.random(), windows[-1][1], step)
    inside = np.zeros(grid.size, dtype=bool)
    for low, high in windows:
        inside |= (grid >= low) & (grid <= high)
    return Observatory(
        tie(rest, shape=Shape.GAUSSIAN, wavenumber=False, ratios=ratios),
        Continuum(tuple(windows), 1),
        grid[inside],
        np.full(len(rest), fwhm / GAUSSIAN_FWHM),
        power,
        velocity,
    )


def draw_spectra(
    observatory: Observatory,
    count: int,
    rng: np.random.Generator,
    *,
    plain: bool = False,
    snr: tuple[float, float] | None = None,
    weight: NDArray[np.float32] | None = None,
) -> Spectra:
    """Draw spectra of one instrument.

    Parameters
    ----------
    observatory : Observatory
    count : int
    rng : Generator
    plain : bool
        True leaves out second components, blank spectra and everything that goes wrong.
    snr : (low, high) or None
        Range of the brightest peak over the noise, even in logarithm; None: that of training.
    weight : ndarray, shape (spaxel, channel), or None
        One over the noise of each channel, zero where it is left out; None: one everywhere.
    """
    rest = dict(zip(observatory.emission.names, observatory.emission.rest, strict=True))
    free = tie(rest, shape=observatory.emission.shape, wavenumber=observatory.emission.wavenumber)
    v = rng.uniform(*observatory.velocity, count)
    b = draw_broadening(rng, count)
    fluxes = draw_fluxes(observatory.emission.names, count, rng)
    lines = _light(observatory, free, v, b, fluxes)
    peak = np.maximum(lines.max(axis=1), 1e-30)
    doubled = np.flatnonzero((rng.random(count) < 0.2) & (not plain))
    if doubled.size:
        other = v[doubled] + rng.uniform(-400, 400, doubled.size)
        share = rng.uniform(0.05, 1.0, doubled.size)[:, None]
        own = fluxes[doubled] * share * np.exp(0.3 * rng.standard_normal(fluxes[doubled].shape))
        width = draw_broadening(rng, doubled.size)
        lines[doubled] += _light(observatory, free, other, width, own)
        peak[doubled] = lines[doubled].max(axis=1)
    height = (
        _draw_snr(rng, count)
        if snr is None
        else np.exp(rng.uniform(np.log(snr[0]), np.log(snr[1]), count))
    )
    if plain:
        height = np.maximum(height, 1.0)
    lines *= (height / peak)[:, None]
    ratio = np.where(
        rng.random(count) < 0.5,
        rng.uniform(0, 5, count),
        np.exp(rng.uniform(np.log(1e-3), np.log(0.5), count)),
    )
    lines += _continuum(observatory, ratio * np.maximum(height, 1.0), rng, plain=plain)
    noiseless = lines.astype(np.float32)
    noise = rng.standard_normal(noiseless.shape, dtype=np.float32)
    if weight is not None:
        noise = np.where(weight > 0, noise / np.maximum(weight, 1e-3), 0.0)
    data = noiseless + noise
    clean = np.ones(count, dtype=bool)
    if not plain:
        clean[doubled] = False
        clean &= height > 0
        clean &= ~_spoil(observatory, free, data, rng)
        data *= np.exp(0.04 * rng.standard_normal((count, 1), dtype=np.float32))
    return Spectra(data, noiseless, v, b, height, ratio, clean)


def draw_weights(channels: int, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """One over the noise of each channel, shape (spaxel, channel): tilted, wavy and with gaps."""
    x = np.linspace(-1, 1, channels)
    tilt, wave = rng.uniform(-0.4, 0.4, (2, count, 1))
    turns, phase = rng.uniform(1, 12, (count, 1)), rng.uniform(0, 6.3, (count, 1))
    weight = np.exp(tilt * x + wave * np.sin(turns * x + phase))
    night = rng.random((1, channels)) < rng.uniform(0, 0.1)  # under lines of the sky, for all
    weight *= np.where(night, rng.uniform(0.2, 0.8), 1.0)
    gaps = rng.random((count, 1)) < 0.5
    weight[gaps & (rng.random((count, channels)) < 0.02)] = 0.0
    return weight.astype(np.float32)


def draw_broadening(rng: np.random.Generator, count: int) -> Array:
    """Half of them even up to the broadest, half even in logarithm, as HII regions have them."""
    even = rng.uniform(0, BROADEST, count)
    narrow = np.exp(rng.uniform(np.log(5), np.log(BROADEST), count))
    return np.where(rng.random(count) < 0.5, even, narrow)


def _draw_snr(rng: np.random.Generator, count: int) -> Array:
    """Mostly 1 to 200; a few blank, a few brighter."""
    kind = rng.random(count)
    usual = np.exp(rng.uniform(0, np.log(200), count))
    bright = np.exp(rng.uniform(np.log(150), np.log(600), count))
    return np.where(kind < 0.05, 0.0, np.where(kind < 0.11, bright, usual))


def draw_fluxes(names: Sequence[str], count: int, rng: np.random.Generator) -> Array:
    """Fluxes of each line relative to Halpha, shape (spaxel, line), a few of them missing."""
    nitrogen = 10 ** rng.uniform(-2, 0.6, count)
    sulphur, density = 10 ** rng.uniform(-1.7, 0.3, count), rng.uniform(0.44, 1.45, count)
    beta = 1 / np.exp(rng.uniform(np.log(2.8), np.log(10), count))
    oxygen = beta * 10 ** rng.uniform(-1.2, 1.4, count)
    blue, ratio = beta * 10 ** rng.uniform(-0.7, 1.2, count), rng.uniform(0.35, 1.5, count)
    one = np.ones(count)
    known = {
        "Halpha": one,
        "NII6583": nitrogen,
        "NII6548": nitrogen / 3.071,
        "SII6716": sulphur,
        "SII6731": sulphur / density,
        "Hbeta": beta,
        "OIII5007": oxygen,
        "OIII4959": oxygen / 3.013,
        "OII3729": blue,
        "OII3726": blue / ratio,
        "OI6300": 10 ** rng.uniform(-2.5, 0, count),
    }
    fluxes = np.stack([known[name] for name in names], axis=1)
    species = [name[:4] if name[0] == "S" else name[:3] for name in names]
    for kind in dict.fromkeys(species):
        gone = rng.random(count) < 0.07
        members = [i for i, own in enumerate(species) if own == kind]
        if len(members) < len(names):
            fluxes[np.flatnonzero(gone)[:, None], members] *= 1e-3
    return fluxes


def _light(observatory: Observatory, free: Emission, v: Array, b: Array, fluxes: Array) -> Array:
    """Spectra of lines alone, shape (spaxel, channel)."""
    width = np.repeat(observatory.width[None], v.size, axis=0)
    peaks = fluxes / free.peak_fluxes(v[:, None], np.maximum(b, 0.1)[:, None], width)
    terms = np.zeros((v.size, observatory.continuum.terms))
    theta = np.stack([v, np.maximum(b, 0.1)], axis=1)
    out = np.empty((v.size, observatory.coordinate.size))
    varpro.model_lines(
        theta,
        np.concatenate([peaks, terms], axis=1),
        varpro.packed(free),
        observatory.coordinate,
        np.ones(v.size),
        width,
        out,
    )
    return out


def _continuum(
    observatory: Observatory, level: Array, rng: np.random.Generator, *, plain: bool
) -> Array:
    """Continuum with a slope of its own in every window, and at times a slight bend."""
    t = observatory.coordinate
    out = np.zeros((level.size, t.size))
    for low, high in observatory.continuum.windows:
        inside = (t >= low) & (t <= high)
        x = (2 * t[inside] - low - high) / (high - low)
        slope = rng.uniform(-0.4, 0.4, level.size)[:, None]
        bend = np.where(rng.random(level.size) < 0.1, 0.01 * rng.standard_normal(level.size), 0.0)
        bend = bend[:, None] * (0.0 if plain else 1.0)
        out[:, inside] = level[:, None] * (1 + slope * x + bend * (1.5 * x * x - 0.5))
    return out


def _spoil(
    observatory: Observatory,
    free: Emission,
    data: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Add residuals of the sky and cosmic rays to a few spectra; tell which."""
    count, t = len(data), observatory.coordinate
    width = float(observatory.width[0])
    element = width * (SINC_FWHM if free.shape is not Shape.GAUSSIAN else GAUSSIAN_FWHM)
    sky = np.flatnonzero(rng.random(count) < 0.1)
    for _ in range(3):
        place = rng.uniform(t[0], t[-1], sky.size)[:, None]
        height = (4.0 * rng.standard_normal(sky.size) * (rng.random(sky.size) < 0.6))[:, None]
        offset = (t - place) / element
        shape = (
            np.exp(-4 * np.log(2) * np.square(offset))
            if free.shape is Shape.GAUSSIAN
            else np.sinc(SINC_FWHM * offset)
        )
        data[sky] += (height * shape).astype(np.float32)
    hit = np.flatnonzero(rng.random(count) < 0.04)
    for _ in range(2):
        channel = rng.integers(0, t.size, hit.size)
        data[hit, channel] += rng.uniform(4, 40, hit.size).astype(np.float32)
    spoiled = np.zeros(count, dtype=bool)
    spoiled[sky] = spoiled[hit] = True
    return spoiled


def element(observatory: Observatory) -> float:
    """FWHM of the instrument at the first line [km/s]."""
    e = observatory.emission
    return float(resolution_element(e.shape, observatory.width, e.rest)[0])
