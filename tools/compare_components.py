"""How well several kinematic components are found, told apart and counted, on simulated spectra.

Spectra as SITELLE has them in SN3, of no component, of one and of two, go through the whole optical
recipe, the noise measured too: with ``--components auto --bayes``, which counts, and with
``--components 2``, which is told. The distance of two components is in full widths of the broader
line as observed, the instrument's width included; the signal-to-noise ratio is that of the peak of
the brighter one. A velocity is right within three of its errors.

    python -m streamfit.tools.compare_components --spectra 1000
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..io.records import BatchKey, SpectralBatch
from ..kernels.axis import GAUSSIAN_FWHM
from ..kernels.emission import profiles
from ..stream.config import OpticalConfig
from ..stream.optical import OpticalRecipe
from .calibration import sn3_header

Array = NDArray[np.float64]

_CORR = 1.04  # of every spectrum: one place in SITELLE's field
_BROADENING = (10.0, 60.0)  # [km/s]
_FAINTER = (0.3, 1.0)  # peak of the second component over that of the first
_RATIOS = {"Halpha": 1.0, "NII6583": 0.6, "SII6716": 0.3, "SII6731": 0.25}
_CONTINUUM = 0.3  # of the peak


@dataclass(frozen=True, slots=True)
class Kind:
    """Spectra of one kind.

    Parameters
    ----------
    components : int
    snr : (low, high)
        Log-uniform.
    apart : float
        Full widths between two components.
    """

    components: int
    snr: tuple[float, float]
    apart: float = 0.0

    @property
    def name(self) -> str:
        """Say what it is."""
        snr = f"SNR {self.snr[0]:g}" + (f" to {self.snr[1]:g}" if self.snr[1] > self.snr[0] else "")
        if self.components == 0:
            return "blank"
        return f"one, {snr}" if self.components == 1 else f"two, {self.apart:g} FWHM, {snr}"


KINDS = (
    Kind(0, (10, 10)),
    Kind(1, (3, 10)),
    Kind(1, (10, 30)),
    Kind(1, (30, 100)),
    Kind(1, (100, 300)),
    Kind(2, (30, 30), 0.75),
    Kind(2, (30, 30), 1.0),
    Kind(2, (30, 30), 1.5),
    Kind(2, (30, 30), 2.0),
    Kind(2, (10, 10), 1.5),
    Kind(2, (10, 10), 3.0),
)


@dataclass(frozen=True, slots=True)
class Truth:
    """Spectra and what they were made of: (spaxel, component), and (spaxel, channel)."""

    velocity: Array
    broadening: Array
    data: NDArray[np.float32]


def simulate(recipe: OpticalRecipe, kind: Kind, count: int, seed: int) -> Truth:
    """Make spectra of noise one.

    Parameters
    ----------
    recipe : OpticalRecipe
        Whose axis and lines they have.
    kind : Kind
    count, seed : int
    """
    rng, model = np.random.default_rng(seed), recipe.model
    emission, x = model.emission, model.coordinate
    width = _CORR * model.width
    b = rng.uniform(*_BROADENING, (count, 2))
    element = model.element(width[None], np.ones(1))
    full = np.hypot(element, GAUSSIAN_FWHM * b.max(axis=1))
    middle, side = rng.uniform(-400, 400, count), rng.choice([-0.5, 0.5], count)
    away = kind.apart * full * side
    v = np.stack([middle + away, middle - away], axis=1)
    peak = np.exp(rng.uniform(np.log(kind.snr[0]), np.log(kind.snr[1]), count))
    share = np.stack([np.ones(count), rng.uniform(*_FAINTER, count)], axis=1)
    band = (x > 1e7 / 685.0) & (x < 1e7 / 647.7)
    data = np.where(band, _CONTINUUM * peak[:, None], 0.0) + rng.standard_normal((count, x.size))
    bright = np.array([_RATIOS.get(emission.names[lead], 0.0) for lead in emission.lead])
    for k in range(kind.components):
        at = v[:, k : k + 1], b[:, k : k + 1]
        centre, sigma = emission.centres(at[0]), emission.sigmas(*at)
        shares = emission.shares(*at, np.broadcast_to(width, (count, width.size)))
        for s in range(count):
            lines = profiles(emission, x, centre[s], sigma[s], width)
            data[s] += peak[s] * share[s, k] * ((bright * shares[s]) @ lines)
    return Truth(v[:, : kind.components], b[:, : kind.components], data.astype(np.float32))


def fitted(recipe: OpticalRecipe, truth: Truth) -> tuple[dict[str, NDArray], float]:
    """Give the columns of the run by name, and milliseconds of processor a spectrum."""
    count = len(truth.data)
    index = np.arange(count, dtype=np.int32)
    key = BatchKey("components", 0, count)
    corr = np.full(count, _CORR)
    begun = time.process_time()
    rows = recipe.fit(SpectralBatch(key, index, index, truth.data, corr, None, None))
    spent = 1e3 * (time.process_time() - begun) / count
    return {name: rows[name].to_numpy() for name in rows.schema.names}, spent


def pulls(rows: dict[str, NDArray], truth: Truth, prefix: str = "") -> Array:
    """Give (found - true) / error of both velocities, in the better order, (spaxel, 2)."""
    ends = ("_err", "") if not prefix else ("_sigma", prefix)
    found = np.stack([rows[f"{ends[1]}velocity{k}"] for k in ("", "_c2")], axis=1)
    error = np.stack([rows[f"{ends[1]}velocity{k}{ends[0]}"] for k in ("", "_c2")], axis=1)
    both = np.stack([(found - truth.velocity[:, order]) / error for order in ([0, 1], [1, 0])])
    worst = np.nan_to_num(np.abs(both).max(axis=2), nan=np.inf)
    return both[worst.argmin(axis=0), np.arange(len(found))]


def measure(kind: Kind, counting: OpticalRecipe, told: OpticalRecipe, count: int, seed: int) -> str:
    """Measure one kind; a row of the table."""
    truth = simulate(counting, kind, count, seed)
    rows, spent = fitted(counting, truth)
    number = np.bincount(rows["components"], minlength=3) / count
    cells = [kind.name, f"{count}", *(f"{100 * share:.1f} %" for share in number)]
    if kind.components == 2:
        pull = pulls(fitted(told, truth)[0], truth)
        right = (np.abs(pull) < 3).all(axis=1)
        two = rows["components"] == 2
        own = pulls(rows, truth)[two]
        inside = (np.abs(own) < 3).all(axis=1)
        sampled = np.abs(pulls(rows, truth, "post_")[two])
        cells += [
            f"{100 * right.mean():.1f} %",
            f"{100 * inside.mean():.1f} %" if two.any() else "",
            f"{100 * (sampled < 1).mean():.0f} / {100 * (sampled < 1.96).mean():.0f} %"
            if two.any()
            else "",
            f"{100 * (rows['k_hat'][two] > 0.7).mean():.1f} %" if two.any() else "",
        ]
    else:
        cells += ["", "", "", ""]
    return "| " + " | ".join([*cells, f"{spent:.1f} ms"]) + " |"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every kind and print the table."""
    parser = argparse.ArgumentParser(description="how well several components are found")
    parser.add_argument("--spectra", type=int, default=1000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(argv)
    header = sn3_header()
    counting = OpticalRecipe(header, OpticalConfig(components="auto", bayes=True))
    told = OpticalRecipe(header, OpticalConfig(components=2))
    for recipe in (counting, told):
        recipe.prepare()
    print(
        "| spectra | n | none | one | two | both right, told | both right, counted | "
        "posterior in 1 / 1.96 sigma | k-hat > 0.7 | processor |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for place, kind in enumerate(KINDS):
        seed = chosen.seed + 100 * place
        print(measure(kind, counting, told, chosen.spectra, seed), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
