"""Two spectra of SITELLE beside the fits of ORB."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from .references import M31, M31_ORCS, M57, Quoted
from .side_by_side import Check, Comparison, Maps, beside_the_network, fit, relativistic


def m57(data: Path, runs: Path) -> list[Comparison]:
    """Planetary nebula M57, one spaxel, 593 channels, flux units."""
    spectrum = data / "sitelle" / "m57_spectrum0.hdf5"
    lines = ("NII6548", "Halpha", "NII6583")
    sinc = fit(spectrum, runs / "m57_sinc", lines=lines, ils="sinc", noise="residual")
    wide = fit(spectrum, runs / "m57_sincgauss", lines=lines, noise="residual")
    return [
        Comparison(
            "M57, SITELLE",
            "ORB",
            "[NII] and Halpha, `--noise residual`; sinc, and sincgauss for the broadening",
            (
                *_checks(sinc, M57, ("Halpha", "NII6583", "velocity")),
                *_checks(wide, M57, ("broadening",)),
                *beside_the_network(wide, wide["snr"] > 5),
            ),
            "ORB takes its errors from the residuals, so ours do here.",
        )
    ]


def m31(data: Path, runs: Path) -> list[Comparison]:
    """Planetary nebula in M31, one spectrum of 29 spaxels, 840 channels, fitted in counts."""
    runs.mkdir(parents=True, exist_ok=True)
    counts = without_flambda(data / "sitelle" / "m31_spectrum0.hdf5", runs / "m31_counts.hdf5")
    lines = ("Halpha", "NII6583")
    sinc = fit(counts, runs / "m31_sinc", lines=lines, ils="sinc", noise="residual")
    wide = fit(counts, runs / "m31_sincgauss", lines=lines, noise="residual")
    settings = "Halpha and [NII]6583, `--noise residual`, a copy without flambda so that it is in"
    settings += " counts"
    return [
        Comparison(
            "M31, SITELLE",
            "ORB",
            f"{settings}; sinc",
            tuple(_checks(sinc, M31, ("Halpha", "NII6583", "velocity"))),
            "Velocities are turned into ORB's relativistic ones (0.43 km/s here).",
        ),
        Comparison(
            "M31, SITELLE",
            "ORCS",
            f"{settings}; sincgauss",
            (
                *_checks(wide, M31_ORCS, ("velocity", "broadening")),
                *beside_the_network(wide, wide["snr"] > 3),
            ),
            "Its aperture is slightly smaller.",
        ),
    ]


def without_flambda(spectrum: Path, copy: Path) -> Path:
    """Copy a spectrum without its flux calibration, so that it is fitted in counts."""
    with h5py.File(spectrum) as source, h5py.File(copy, "w") as target:
        for name in source:
            source.copy(name, target)
        for name, value in source.attrs.items():
            if name != "flambda":
                target.attrs[name] = value
    return copy


def _checks(found: Maps, quoted: Mapping[str, Quoted], names: tuple[str, ...]) -> list[Check]:
    """Difference of each number from the quoted one, in units of the quoted error."""
    checks = []
    for name in names:
        column = name if name in found else f"{name}_flux"
        value, error = (float(found[key].ravel()[0]) for key in (column, f"{column}_err"))
        if name == "velocity":
            value = float(relativistic(np.array(value)))
        theirs = quoted[name]
        text = f"{_pm(value, error)}, theirs {_pm(theirs.value, theirs.error)}"
        off = (value - theirs.value) / theirs.error
        checks.append(Check(_words(name), off, (-1.0, 1.0), 1, "sigma", text))
    return checks


def _words(name: str) -> str:
    return f"{name} [km/s]" if name in ("velocity", "broadening") else f"{name} flux"


def _pm(value: float, error: float) -> str:
    """Write a number with its error, both over the same power of ten."""
    if 1e-2 < abs(value) < 1e4:
        return f"{value:.1f} ± {error:.1f}"
    power = int(np.floor(np.log10(abs(value))))
    return f"({value / 10.0**power:.2f} ± {error / 10.0**power:.2f})e{power}"
