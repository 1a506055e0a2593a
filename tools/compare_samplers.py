"""How many likelihoods samplers need, with the network's density, without it, and a quadrature.

Simulated spectra as in `calibration.py`, one posterior, flat in everything, reached in two ways:

- dynesty draws velocity and broadening from the flat prior, or from the network's density with its
  standard deviations three times as wide, each likelihood then divided by that density: the same
  posterior from a smaller volume;
- emcee starts its walkers anywhere in the flat prior, or at draws of the network's density.

What counts is evaluations for each effective draw: Kish's size of dynesty's weights, emcee's draws
over their autocorrelation time once the ensemble has the mean and deviation of the integrated
posterior. Beside them stands what the quadrature of `posterior.py` evaluates for the same
posterior, its moments being right to a per cent or so: a sampler's deviation is as good with some
two thousand effective draws.

    python -m streamfit.tools.compare_samplers --spectra 20
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels import varpro
from ..kernels.full_posterior import FullPosterior
from ..kernels.mixture import Mixture
from ..stream.posterior_rows import Informed, PosteriorRows
from ..stream.sampling import ensemble, nested
from .single_spectra import CountedRows, compare, fit_singly

Array = NDArray[np.float64]

_WIDE = 3.0  # of the network's standard deviations, so that it bounds what is sampled
_WAYS = (
    "dynesty flat",
    "dynesty network",
    "emcee flat",
    "emcee network",
    "dynesty in all",
    "quadrature",
)
_STARTS = 400
_CLOSE = 0.5  # of a deviation: an ensemble this far off has not arrived


class Bounded(FullPosterior):
    """A flat posterior whose velocity and broadening are drawn from a mixture."""

    def log_likelihood(self, point: Array) -> float:
        """Minus half chi2, less the log of the mixture's density over the flat one's."""
        assert self.prior is not None
        flat = -np.log((self.high - self.low)[:2]).sum()
        own = float(self.prior.log_density(point[None, :1], point[None, 1:2])[0, 0])
        return super().log_likelihood(point) + flat - own


class TwiceRows(CountedRows):
    """Posteriors that are also integrated under the flat prior, whose evaluations count."""

    flat: dict[str, NDArray]

    def integrate(
        self,
        data: NDArray[np.floating],
        weight: Array,
        fit: varpro.Fit,
        noise: Array,
        geometry: varpro.Geometry,
        tables: Any,
        prior: Informed | None = None,
    ) -> Array:
        """Integrate with the flat prior, keep that, then with the one given."""
        what = data, weight, fit, noise, geometry, tables
        self.flat = self.named(PosteriorRows.integrate(self, *what, None))
        flat = self.evaluations
        found = super().integrate(*what, prior)
        self.evaluations = flat
        return found


def measure(count: int, snr: tuple[float, float], seed: int, live: int) -> dict[str, Array]:
    """Give evaluations of each way, shape (spectrum,); NaN where an ensemble has not arrived.

    Of samplers for an effective draw; under ``dynesty in all`` and ``quadrature`` for a posterior.
    """
    found = {way: np.full(count, np.nan) for way in _WAYS}
    given = fit_singly(count, snr, seed, TwiceRows, prior="mdn", prior_width=_WIDE)
    for s, (_, _, flat, rows) in enumerate(given):
        assert isinstance(rows, TwiceRows)
        draws = nested(flat, seed + s, live=live)
        found["dynesty flat"][s] = draws.evaluations / draws.effective
        found["dynesty in all"][s], found["quadrature"][s] = draws.evaluations, rows.evaluations
        if rows.informed is None or not rows.informed.known[0]:
            continue
        bounded = Bounded(**{name: getattr(flat, name) for name in flat.__slots__})
        bounded = replace(bounded, prior=rows.informed.mixture)
        draws = nested(bounded, seed + s, live=live)
        found["dynesty network"][s] = draws.evaluations / draws.effective
        rng = np.random.default_rng([seed, s])
        anywhere = flat.low[:2] + rng.random((_STARTS, 2)) * (flat.high - flat.low)[:2]
        for way, start in (
            ("emcee flat", anywhere),
            ("emcee network", _of_the_network(rows.informed.mixture, rng)),
        ):
            draws = ensemble(flat, start, seed + s)
            v = draws.points[:, 0]
            mean, sigma = (
                float(rows.flat[name][0]) for name in ("post_velocity", "post_velocity_sigma")
            )
            arrived = abs(v.mean() - mean) < _CLOSE * sigma
            if arrived and 1 - _CLOSE < v.std() / sigma < 1 + _CLOSE:
                found[way][s] = draws.evaluations / draws.effective
    return found


def _of_the_network(widened: Mixture, rng: np.random.Generator) -> Array:
    """Draw from the network's density as it is."""
    return widened.widened(1 / _WIDE).draw(_STARTS, rng)[0]


def describe(found: dict[str, Array]) -> str:
    """Write medians, ratios, and how many ensembles arrived."""
    lines = []
    for sampler in ("dynesty", "emcee"):
        flat, network = found[f"{sampler} flat"], found[f"{sampler} network"]
        both = np.isfinite(flat) & np.isfinite(network)
        ratio = np.median(flat[both] / network[both]) if both.any() else np.nan
        lines.append(
            f"{sampler}: evaluations an effective draw, median {_median(flat):.0f} flat, "
            f"{_median(network):.0f} network; ratio {ratio:.2f}; arrived "
            f"{np.isfinite(flat).sum()} and {np.isfinite(network).sum()} of {flat.size}"
        )
    whole, own = found["dynesty in all"], found["quadrature"]
    lines.append(
        f"a posterior: median {_median(whole):.0f} evaluations by dynesty, worth "
        f"{_median(whole / found['dynesty flat']):.0f} effective draws, {_median(own):.0f} by "
        f"quadrature; ratio {_median(whole / own):.0f}"
    )
    return "\n".join(lines)


def _median(values: Array) -> float:
    """Give the median of what is known, NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    text = "likelihoods that samplers need"
    return compare(measure, describe, argv, description=text, spectra=20)


if __name__ == "__main__":
    sys.exit(main())
