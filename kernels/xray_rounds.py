"""Rounds of importance sampling: each drawn from what all before have found.

A round's proposal is a `Mixture` made of three kinds of components. Those of the start and those
put about draws of the largest weights, each as wide as the posterior is there by its own
information, have only their shares fitted to the draws so far; a few others are fitted with mean
and covariance, once enough draws count. To fit them, draws are weighed by the mixture of all
rounds,

    w_i = L(x_i) N(x_i) / sum_r (n_r / n) q_r(x_i)

(Owen & Zhou 2000, JASA 95, 135; Cappe et al. 2008, Stat. Comput. 18, 447; Cornuet et al. 2012,
Scand. J. Stat. 39, 798), and the largest weights are smoothed as in `psis`.

These weights tell of what the draws have met, and are too small where later proposals have
followed a draw. What is told comes from the last round, weighed by its own proposal alone, which is
fitted to all draws before and knows none of its own: the sums have no bias. It has to find the same
evidence as all, with weights whose tail can be trusted too. `Quality.k_hat` is the larger of both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from .psis import TRUSTED, effective_draws, smooth
from .xray_proposal import Mixture

Array = NDArray[np.float64]

_AGREE = 3.0  # standard errors between the last round's evidence and that of all
_SLIGHT = 0.1  # of ln evidence, below which they agree in any case


@dataclass(frozen=True, slots=True)
class Quality:
    """How far weights can be trusted.

    Parameters
    ----------
    k_hat : float
        Shape of the tail, the larger of all draws' and the last round's own.
    effective : float
        Draws that count.
    last : float
        The same of the last round, by itself.
    apart : float
        Standard errors between the last round's evidence and that of all; zero below 0.1 in ln.
    """

    k_hat: float
    effective: float
    last: float
    apart: float

    @property
    def settled(self) -> bool:
        """Whether the last round finds the evidence of all."""
        return self.apart < _AGREE

    @property
    def trusted(self) -> bool:
        """Whether sums hold."""
        return self.k_hat < TRUSTED and self.settled


class Rounds:
    """Draws of all rounds.

    Parameters
    ----------
    log_density : callable
        ln of the target but for a constant, of points of shape (draw, parameter).
    size : int
        Parameters.
    """

    def __init__(self, log_density: Callable[[Array], Array], size: int) -> None:
        self.log_density = log_density
        self.normal, self.log_target = np.empty((0, size)), np.empty(0)
        self._proposals: list[Mixture] = []
        self._counts: list[int] = []
        self._log_sum = np.empty(0)  # ln sum_r n_r q_r

    def __len__(self) -> int:
        """Count the rounds."""
        return len(self._proposals)

    def add(self, proposal: Mixture, count: int, generator: np.random.Generator) -> None:
        """Draw a round."""
        drawn = proposal.draw(count, generator)
        before = np.full(count, -np.inf)
        for known, number in zip(self._proposals, self._counts, strict=True):
            before = np.logaddexp(before, np.log(number) + known.log_density(drawn))
        self._log_sum = np.concatenate([self._log_sum, before])
        self.normal = np.concatenate([self.normal, drawn])
        self.log_target = np.concatenate([self.log_target, self.log_density(drawn)])
        self._proposals.append(proposal)
        self._counts.append(count)
        own = np.log(count) + proposal.log_density(self.normal)
        self._log_sum = np.logaddexp(self._log_sum, own)

    @property
    def log_weight(self) -> Array:
        """Weights of all draws, weighed together, shape (draw,)."""
        return self.log_target - self._log_sum + np.log(len(self.normal))

    def more(self, count: int, generator: np.random.Generator) -> None:
        """Draw as many more from the last proposal; they are of its round."""
        self.add(self._proposals[-1], count, generator)

    def alone(self) -> tuple[Array, Array]:
        """Give the draws of the last round, and their weights by its own proposal."""
        proposal = self._proposals[-1]
        same = list(takewhile(lambda one: one is proposal, reversed(self._proposals)))
        last = slice(-sum(self._counts[-len(same) :]), None)
        own = proposal.log_density(self.normal[last])
        return self.normal[last], self.log_target[last] - own

    def smoothed(self) -> tuple[Array, Quality]:
        """Give smoothed weights of sum one, in ln, and how far to trust them."""
        log_weight = self.log_weight
        smoothed, shape = smooth(log_weight[None])
        if not np.isfinite(smoothed).any():
            return smoothed[0], Quality(float("inf"), 0.0, 0.0, float("inf"))
        own = self.alone()[1]
        alone, its_shape = smooth(own[None])
        effective = float(effective_draws(smoothed)[0])
        if not np.isfinite(alone).any():
            return smoothed[0], Quality(float("inf"), effective, 0.0, float("inf"))
        k_hat = max(float(shape[0]), float(its_shape[0]))
        (all_, error), (its_own, its_error) = evidence(log_weight), evidence(own)
        away = abs(its_own - all_)
        apart = 0.0 if away < _SLIGHT else away / float(np.hypot(error, its_error))
        return smoothed[0], Quality(k_hat, effective, float(effective_draws(alone)[0]), apart)


def evidence(log_weight: Array) -> tuple[float, float]:
    """Give ln of the mean weight, and its standard error."""
    largest = log_weight.max()
    weight = np.exp(log_weight - largest)
    mean = weight.mean()
    return float(largest + np.log(mean)), float(weight.std() / mean / np.sqrt(weight.size))
