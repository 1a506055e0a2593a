"""The published network beside ours, on the same spectra.

``python -m streamfit.tools.compare_luci FOLDER`` reads the network for SN3 at R 5000 from an
unpacked luci-sitelle 2.0.1, a bench and no dependency, whose ``ML`` folder FOLDER is. It simulates
spectra of five lines at R 5000 in the range that network was trained on: velocities within
400 km/s, broadenings of 10 to 100 km/s, SNR 5 to 100, once without a continuum and once with one of
0.1 to 1 of the peak. Spectra are prepared as it wants them: nothing outside 14750 to 15400 cm-1,
brought to its axis by linear interpolation, divided by their maximum.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ..kernels import varpro
from ..kernels.axis import SINC_FWHM
from ..kernels.emission import Continuum, Shape, tie
from ..kernels.lines import RATIOS, REST_AIR_NM
from ..models.mdn import DensityNetwork
from ..models.session import open_session
from .training_spectra import Observatory

Array = NDArray[np.float64]

_LINES = ("NII6548", "Halpha", "NII6583", "SII6716", "SII6731")
_WINDOW = (14750.0, 15400.0)
_POWER = 5000.0


def observatory() -> Observatory:
    """SITELLE behind SN3 at R 5000, on the axis that the published network was trained on."""
    rest = {name: 1e7 / REST_AIR_NM[name] for name in _LINES}
    width = rest["Halpha"] / _POWER / SINC_FWHM
    return Observatory(
        tie(rest, shape=Shape.SINCGAUSS, wavenumber=True, ratios=RATIOS),
        Continuum((_WINDOW,), 1),
        np.arange(_WINDOW[0], _WINDOW[1], 0.8 * width),
        np.full(len(rest), width),
        _POWER,
        (-1000.0, 1000.0),
    )


def spectra(count: int, *, continuum: bool, seed: int) -> tuple[Array, Array, Array]:
    """Draw spectra of noise one, and the velocities and broadenings behind them."""
    rng, at = np.random.default_rng([seed, continuum]), observatory()
    v, b = rng.uniform(-400, 400, count), rng.uniform(10, 100, count)
    nitrogen, sulphur = rng.uniform(0.1, 1.0, count), rng.uniform(0.1, 0.5, count)
    peaks = {"NII6583": nitrogen, "Halpha": np.ones(count), "SII6716": sulphur,
             "SII6731": sulphur / rng.uniform(0.7, 1.4, count)}  # fmt: skip
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
    if continuum:
        data += rng.uniform(0.1, 1.0, (count, 1))
    data *= np.exp(rng.uniform(np.log(5), np.log(100), (count, 1)))
    return data + rng.standard_normal(data.shape), v, b


def published(folder: Path, data: Array) -> Array:
    """Means of velocity and broadening by the published network, shape (spaxel, 2)."""
    with fits.open(folder / "Reference-Spectrum-R5000-SN3.fits") as held:
        wanted = np.asarray(held[1].data["Wavenumber"], dtype=np.float64)  # pyright: ignore
    low, high = (int(np.argmin(np.abs(wanted - limit))) for limit in (14700.0, 15600.0))
    graph = folder / "onnx" / "R5000-PREDICTOR-I-MDN-SN3.onnx"
    session = open_session(graph, "cpu")
    asked = session.get_inputs()[0]
    wanted = wanted[low:high]
    axis = observatory().coordinate
    out = np.empty((len(data), 2))
    for row, spectrum in enumerate(data):
        brought = np.interp(wanted, axis, spectrum, left=0.0, right=0.0)
        brought /= brought.max()
        ready = brought.astype(np.float32).reshape(1, -1, 1)
        out[row] = np.asarray(session.run(None, {asked.name: ready})[0])[0, :2]
    return out


def ours(data: Array) -> Array:
    """Means of velocity and broadening by the network shipped, shape (spaxel, 2)."""
    at = observatory()
    reading = at.score_map().read(data, np.ones(len(data)))
    found = DensityNetwork().density(reading, at.velocity).moments()
    return np.stack([found.velocity, found.broadening], axis=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the errors of both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="the ML folder of luci-sitelle")
    parser.add_argument("--spectra", type=int, default=2000)
    arguments = parser.parse_args(argv)
    for continuum in (False, True):
        data, v, b = spectra(arguments.spectra, continuum=continuum, seed=1)
        truth = np.stack([v, b], axis=1)
        for name, found in (("published", published(arguments.folder, data)), ("ours", ours(data))):
            error = found - truth
            rms, bias = np.sqrt(np.square(error).mean(axis=0)), error.mean(axis=0)
            light = "with" if continuum else "no"
            print(
                f"{light} continuum, {name}: velocity rms {rms[0]:.2f}, bias {bias[0]:+.2f}; "
                f"broadening rms {rms[1]:.2f}, bias {bias[1]:+.2f} km/s"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
