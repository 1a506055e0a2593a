"""Skies to simulate: what each spaxel emits, before any instrument has seen it.

A scene turns positions in the field and uniform random numbers into a `Sky`. Every spaxel brings
its own random numbers, so a scene is the same however the field is cut into pieces. `random`
spreads all quantities evenly, for statistics; `disk` is a rotating spiral galaxy with HII regions
and diffuse gas, for maps that look like something; `edge` has two velocities side by side, for
what lends spaxels the strength of their neighbours.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DRAWS = 16  # uniform random numbers a scene gets per spaxel

NII_RATIO = 3.071  # [NII] 6583/6548, flux (Storey & Zeippen 2000, MNRAS 312, 813)
OIII_RATIO = 3.013  # [OIII] 5007/4959, the same source

# Fluxes relative to Halpha of lines that hardly vary, typical of an HII region with little dust
# (Osterbrock & Ferland 2006, tables 4.2 and 4.5); others follow the diagnostics of the scene.
_STEADY = {
    "Halpha": 1.0,
    "Hbeta": 0.35,
    "Hgamma": 0.16,
    "Hdelta": 0.09,
    "Hepsilon": 0.055,
    "HeI5876": 0.045,
    "HeI6678": 0.012,
    "HeI7065": 0.009,
}
_FAINT = 0.02  # any other line


@dataclass(frozen=True, slots=True)
class Field:
    """Where spaxels are and what chance gives them.

    Parameters
    ----------
    u, v : ndarray, shape (spaxel,)
        Position in the field, 0 to 1 along x and y.
    draws : ndarray, shape (spaxel, DRAWS)
        Uniform random numbers, the spaxel's own.
    seed : int
        Of what the spaxels share, such as the places of HII regions.
    """

    u: Array
    v: Array
    draws: Array
    seed: int


@dataclass(frozen=True, slots=True)
class Sky:
    """Emission of each spaxel; arrays of shape (spaxel,) but for `fluxes`.

    Parameters
    ----------
    velocity, broadening : ndarray
        [km/s].
    brightness : ndarray
        0 to 1: from the lowest to the highest signal-to-noise ratio asked for, in logarithm.
    continuum : ndarray
        0 to 1: from the lowest to the highest ratio of continuum to brightest peak asked for.
    slope : ndarray
        Relative change of the continuum from the middle of the band to its edge.
    noise : ndarray
        Noise relative to the field's.
    fluxes : ndarray, shape (spaxel, line)
        Wavelength-integrated, relative.
    """

    velocity: Array
    broadening: Array
    brightness: Array
    continuum: Array
    slope: Array
    noise: Array
    fluxes: Array


def random_scene(field: Field, lines: Sequence[str]) -> Sky:
    """Spread all quantities independently and evenly."""
    d = field.draws.T
    return Sky(
        velocity=-500 + 1000 * d[0],
        broadening=10 + 90 * d[1],
        brightness=d[2],
        continuum=d[3],
        slope=-0.3 + 0.6 * d[4],
        noise=10 ** (-0.15 + 0.3 * d[5]),
        fluxes=_fluxes(
            lines,
            {
                "NII6583": 0.1 + 1.1 * d[6],
                "SII6716": 0.1 + 0.4 * d[7],
                "SII": 0.7 + 0.73 * d[8],
                "OIII5007": 10 ** (-1 + 1.3 * d[9]),
                "OII3729": 0.2 + 0.9 * d[10],
                "OII": 0.7 + 0.75 * d[11],
                "OI6300": 0.01 + 0.09 * d[12],
            },
        ),
    )


_APART = 150.0  # velocities of the two sheets of `edge` [km/s]


def edge_scene(field: Field, lines: Sequence[str]) -> Sky:
    """Two sheets of gas that meet at a sharp edge; all but velocity spreads as in `random`."""
    sky = random_scene(field, lines)
    beyond = field.u + 0.25 * field.v > 0.63
    velocity = np.where(beyond, 0.5, -0.5) * _APART + 30.0 * (field.v - 0.5)
    broadening = np.where(beyond, 35.0, 20.0) + 6.0 * field.draws[:, 1]
    return dataclasses.replace(sky, velocity=velocity, broadening=broadening)


def _fluxes(lines: Sequence[str], diagnostics: Mapping[str, Array]) -> Array:
    """Fluxes relative to Halpha, shape (spaxel, line).

    `diagnostics` has the fluxes of NII6583, SII6716, OIII5007, OII3729 and OI6300, and the ratios
    6716/6731 as SII and 3729/3726 as OII, each of shape (spaxel,).
    """
    d = diagnostics
    varying = {
        "NII6583": d["NII6583"],
        "NII6548": d["NII6583"] / NII_RATIO,
        "NII5755": 0.015 * d["NII6583"],
        "SII6716": d["SII6716"],
        "SII6731": d["SII6716"] / d["SII"],
        "OIII5007": d["OIII5007"],
        "OIII4959": d["OIII5007"] / OIII_RATIO,
        "OIII4363": 0.01 * d["OIII5007"],
        "OII3729": d["OII3729"],
        "OII3726": d["OII3729"] / d["OII"],
        "OI6300": d["OI6300"],
    }
    shape = d["SII"].shape
    columns = [varying.get(name, np.full(shape, _STEADY.get(name, _FAINT))) for name in lines]
    return np.stack(columns, axis=1)


# The galaxy of `disk`, lengths in units of half the field.
_CENTRE = (0.03, -0.04)
_POSITION_ANGLE = np.deg2rad(35.0)
_INCLINATION = np.deg2rad(48.0)
_SPEED = 190.0  # flat part of the rotation curve [km/s]
_TURNOVER = 0.18
_PITCH = np.deg2rad(17.0)
_REGIONS = 170


def disk_scene(field: Field, lines: Sequence[str]) -> Sky:
    """Rotating disk with two spiral arms, HII regions along them, and diffuse gas."""
    d = field.draws.T
    radius, azimuth = _galactic(field)
    stars = np.exp(-radius / 0.3) + 3.0 * np.exp(-((radius / 0.09) ** 2))
    arms = _arms(radius, azimuth)
    diffuse = 0.12 * np.exp(-radius / 0.45) * (0.35 + arms)
    clumps = _regions(radius, azimuth, seed=field.seed)
    light = diffuse + clumps
    ionized = clumps / light  # share of the light that comes from HII regions
    streaming = 12.0 * arms * np.cos(2 * azimuth)
    rotation = _SPEED * (1 - np.exp(-radius / _TURNOVER)) * np.sin(_INCLINATION)
    metals = np.exp(-0.7 * radius)
    scatter = np.exp(0.12 * (d[:6] - 0.5))
    return Sky(
        velocity=rotation * np.cos(azimuth) + streaming + 8.0 * (d[6] + d[7] - 1),
        broadening=16 + 22 * (1 - ionized) + 45 * np.exp(-((radius / 0.12) ** 2)) + 6 * d[8],
        brightness=np.clip((np.log10(light) + 2.3) / 2.4, 0, 1),
        continuum=np.clip(stars / (stars + 8 * light), 0, 1),
        slope=0.3 * (0.5 - ionized) + 0.1 * (d[9] - 0.5),
        noise=np.sqrt(1 + 0.4 * stars + 0.5 * light),
        fluxes=_fluxes(
            lines,
            {
                "NII6583": (0.18 + 0.5 * metals) * (1.25 - 0.4 * ionized) * scatter[0],
                "SII6716": 0.14 + 0.28 * (1 - ionized) * scatter[1],
                "SII": 1.42 - 0.3 * ionized * scatter[2],
                "OIII5007": (0.15 + 0.9 * radius**2) * scatter[3],
                "OII3729": 0.4 + 0.5 * radius * scatter[4],
                "OII": 1.4 - 0.3 * ionized * scatter[5],
                "OI6300": 0.015 + 0.05 * (1 - ionized),
            },
        ),
    )


def _galactic(field: Field) -> tuple[Array, Array]:
    """Radius and azimuth in the plane of the disk, the latter from the receding major axis."""
    dx, dy = 2 * field.u - 1 - _CENTRE[0], 2 * field.v - 1 - _CENTRE[1]
    major = dx * np.cos(_POSITION_ANGLE) + dy * np.sin(_POSITION_ANGLE)
    minor = dy * np.cos(_POSITION_ANGLE) - dx * np.sin(_POSITION_ANGLE)
    minor = minor / np.cos(_INCLINATION)
    return np.hypot(major, minor) + 1e-6, np.arctan2(minor, major)


def _arms(radius: Array, azimuth: Array) -> Array:
    """Strength of two logarithmic spiral arms, 0 to 1."""
    phase = azimuth - np.log(radius / 0.2) / np.tan(_PITCH)
    return np.exp(2.5 * (np.cos(2 * phase) - 1)) * (1 - np.exp(-((radius / 0.15) ** 2)))


def _regions(radius: Array, azimuth: Array, *, seed: int) -> Array:
    """Light of HII regions: Gaussian spots strewn along the arms, a few between them."""
    rng = np.random.default_rng([seed, 0x4811])  # a stream apart from those of the spaxels
    r = 0.1 + 0.95 * rng.random(_REGIONS) ** 0.8
    phi = np.log(r / 0.2) / np.tan(_PITCH) + np.pi * rng.integers(0, 2, _REGIONS)
    phi += rng.normal(0, np.where(rng.random(_REGIONS) < 0.8, 0.16, 1.2))
    size = 0.018 + 0.03 * rng.random(_REGIONS)
    flux = 10 ** rng.normal(-0.55, 0.35, _REGIONS) * np.exp(-r / 0.8)
    x, y = radius * np.cos(azimuth), radius * np.sin(azimuth)
    light = np.zeros_like(radius)
    for x0, y0, s, f in zip(r * np.cos(phi), r * np.sin(phi), size, flux, strict=True):
        light += f * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * s * s))
    return light


SCENES: Mapping[str, Callable[[Field, Sequence[str]], Sky]] = {
    "disk": disk_scene,
    "edge": edge_scene,
    "random": random_scene,
}
