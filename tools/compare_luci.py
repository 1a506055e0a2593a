"""The published network beside ours and beside the Cramer-Rao bound, on the same spectra.

``python -m streamfit.tools.compare_luci FOLDER`` reads the network for SN3 at R 5000 from an
unpacked luci-sitelle 2.0.1, a bench and no dependency, whose ``ML`` folder FOLDER is. It simulates
spectra of five lines over the whole range that network was trained on (Rhea et al. 2021, ApJ 910,
129): R 4800 to 5000, velocities within 500 km/s, broadenings of 10 to 200 km/s, [NII] and [SII]
from a hundredth of Halpha to beyond it; but SNR 3 to 200, its own being 3 to 30; once without a
continuum, as it was trained, and once with one of 0.1 to 1 of the peak. Spectra are prepared as it
wants them: nothing outside 14750 to 15400 cm-1, brought to its axis by linear interpolation,
divided by their maximum. No unbiased estimate has less scatter than the bound; with a prior, as
networks have one, errors may lie below it where the data say little.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ..kernels import varpro
from ..kernels.axis import SINC_FWHM
from ..kernels.emission import Continuum, Shape, tie
from ..kernels.lines import RATIOS, REST_AIR_NM
from ..models.mdn import DensityNetwork
from ..models.session import open_session
from .compare_mdn import cramer_rao
from .training_spectra import VELOCITY, Observatory, Spectra

Array = NDArray[np.float64]

_LINES = ("NII6548", "Halpha", "NII6583", "SII6716", "SII6731")
_WINDOW = (14750.0, 15400.0)
_POWER = 5000.0
_POWERS = (4800.0, 4850.0, 4900.0, 4950.0, 5000.0)
_RANGE = 500.0  # km/s, either way: both know that velocities are within it
SNR = (3.0, 5.0, 10.0, 30.0, 100.0, 200.0)


def observatory(power: float, half: float = VELOCITY) -> Observatory:
    """SITELLE behind SN3 in the window the published network reads, lines within `half` km/s."""
    rest = {name: 1e7 / REST_AIR_NM[name] for name in _LINES}
    width = rest["Halpha"] / power / SINC_FWHM
    return Observatory(
        tie(rest, shape=Shape.SINCGAUSS, wavenumber=True, ratios=RATIOS),
        Continuum((_WINDOW,), 1),
        np.arange(_WINDOW[0], _WINDOW[1], 0.8 * width),
        np.full(len(rest), width),
        power,
        (-half, half),
    )


def spectra(at: Observatory, count: int, *, continuum: bool, seed: int) -> Spectra:
    """Draw spectra of noise one, even in the logarithms of SNR and line ratios."""
    rng = np.random.default_rng([seed, continuum])
    v, b = rng.uniform(-_RANGE, _RANGE, count), rng.uniform(10, 200, count)
    nitrogen = np.exp(rng.uniform(np.log(0.01), np.log(2), count))
    sulphur = np.exp(rng.uniform(np.log(0.01), np.log(1), count))
    peaks = {"NII6583": nitrogen, "Halpha": np.ones(count), "SII6716": sulphur,
             "SII6731": sulphur / rng.uniform(0.44, 1.45, count)}  # fmt: skip
    leads = [at.emission.names[int(np.flatnonzero(at.emission.column == j)[0])] for j in range(4)]
    leads = [name.replace("NII6548", "NII6583") for name in leads]
    linear = np.stack([peaks[name] for name in leads] + [0 * v, 0 * v], axis=1)
    data = np.empty((count, at.coordinate.size))
    widths = np.repeat(at.width[None], count, axis=0)
    varpro.model_lines(
        np.stack([v, b], axis=1),
        linear,
        varpro.packed(at.emission),
        at.coordinate,
        np.ones(count),
        widths,
        data,
    )
    ratio = rng.uniform(0.1, 1.0, count) if continuum else np.zeros(count)
    snr = np.exp(rng.uniform(np.log(SNR[0]), np.log(SNR[-1]), count))
    noiseless = (data / data.max(axis=1, keepdims=True) + ratio[:, None]) * snr[:, None]
    noisy = noiseless + rng.standard_normal(data.shape)
    noisy, noiseless = noisy.astype(np.float32), noiseless.astype(np.float32)
    return Spectra(noisy, noiseless, v, b, snr, ratio, np.ones(count, dtype=bool))


def published(folder: Path, axis: Array, data: NDArray[np.floating]) -> Array:
    """Means of velocity and broadening by the published network, shape (spaxel, 2)."""
    with fits.open(folder / "Reference-Spectrum-R5000-SN3.fits") as held:
        wanted = np.asarray(held[1].data["Wavenumber"], dtype=np.float64)  # pyright: ignore
    low, high = (int(np.argmin(np.abs(wanted - limit))) for limit in (14700.0, 15600.0))
    graph = folder / "onnx" / "R5000-PREDICTOR-I-MDN-SN3.onnx"
    session = open_session(graph, "cpu")
    asked = session.get_inputs()[0]
    wanted = wanted[low:high]
    out = np.empty((len(data), 2))
    for row, spectrum in enumerate(data):
        brought = np.interp(wanted, axis, spectrum, left=0.0, right=0.0)
        brought /= brought.max()
        ready = brought.astype(np.float32).reshape(1, -1, 1)
        out[row] = np.asarray(session.run(None, {asked.name: ready})[0])[0, :2]
    return out


def ours(at: Observatory, data: NDArray[np.floating]) -> Array:
    """Means of velocity and broadening by the network shipped, shape (spaxel, 2)."""
    reading = at.score_map().read(data, np.ones(len(data)))
    found = DensityNetwork().density(reading, at.velocity).moments()
    return np.stack([found.velocity, found.broadening], axis=1)


class Errors(NamedTuple):
    """Errors by both networks and the Cramer-Rao bound, shape (spaxel, 2) [km/s]; the SNR."""

    snr: Array
    published: Array
    ours: Array
    bound: Array


def errors(folder: Path, count: int, *, continuum: bool, seed: int = 1) -> Errors:
    """Show both networks the same spectra, a part of them at each resolving power."""
    parts = []
    for power in _POWERS:
        at = observatory(power, _RANGE)
        drawn = spectra(at, count // len(_POWERS), continuum=continuum, seed=seed + int(power))
        truth = np.stack([drawn.velocity, drawn.broadening], axis=1)
        bound = cramer_rao(at, drawn.noiseless, v=drawn.velocity, b=drawn.broadening)
        theirs = published(folder, at.coordinate, drawn.data)
        parts.append((drawn.snr, theirs - truth, ours(at, drawn.data) - truth, bound))
    return Errors(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def rms(found: Errors) -> list[tuple[str, int, Array]]:
    """Root mean squares by SNR: name, number, and (published, ours, bound) by (v, b)."""
    rows = []
    for low, high in (*pairwise(SNR), (SNR[0], SNR[-1])):
        own = (found.snr >= low) & (found.snr < high)
        if not own.any():
            continue
        squared = np.square(np.stack([found.published[own], found.ours[own], found.bound[own]]))
        rows.append((f"{low:g}-{high:g}", int(own.sum()), np.sqrt(np.nanmean(squared, axis=1))))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table of docs/accuracy.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="the ML folder of luci-sitelle")
    parser.add_argument("--spectra", type=int, default=20000, help="with and without continuum")
    arguments = parser.parse_args(argv)
    print("rms error [km/s]: published / ours / bound\n")
    print("| continuum | SNR | spectra | velocity | broadening |\n|---|---|---:|---:|---:|")
    for continuum in (False, True):
        light = "0.1 to 1 of the peak" if continuum else "none"
        found = errors(arguments.folder, arguments.spectra, continuum=continuum)
        for name, number, values in rms(found):
            cells = (" / ".join(f"{x:.3g}" for x in column) for column in values.T)
            print(f"| {light} | {name} | {number:,} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
