"""What the X-ray network is asked to make small.

- For the last step, the negative log likelihood of ln x under the Gaussian it gives, linear beyond
  three of its sigma, so that a line nobody could see does not widen all bands.
- For all steps, the later the more, the absolute errors of ln x (quadratic under 0.1).
- For all steps, the errors it is judged by: smoothed L1 and a part of the plain one, in units of
  what is usual for so many counts, so that bright and faint observations count alike.
"""

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from .spectrum_errors import BAND, RESOLUTION, WIDTHS
from .xray_batches import Simulated

_NEAR, _PLAIN = 2.0, 0.15  # weights of the errors of ln x, and of the plain L1 in the smoothed
_USUAL, _FALL = 0.1, -0.33  # smoothed L1 at a thousand counts, and how it falls with the counts


class Loss:
    """The three parts, for any batch."""

    def __init__(self) -> None:
        at = np.arange(WIDTHS.size)
        weight = np.exp(-0.5 * ((at[:, None] - at) / RESOLUTION) ** 2)
        self._smooth = _single(weight / weight.sum(axis=1, keepdims=True))
        self._width, self._band = _single(WIDTHS), _single(BAND)

    def __call__(self, states: list[Tensor], log_sigma: Tensor, drawn: Simulated) -> list[Tensor]:
        """Give the parts, weighted.

        Parameters
        ----------
        states : list of Tensor, shape (n, energy)
            ln x after each step.
        log_sigma : Tensor, shape (n, energy)
        drawn : Simulated

        Returns
        -------
        list of Tensor
            Likelihood, errors of ln x, errors of the flux.
        """
        truth = torch.from_numpy(drawn.log_flux)
        pull = (states[-1] - truth).abs() * torch.exp(-log_sigma)
        likelihood = torch.where(pull < 3.0, 0.5 * pull.square(), 3.0 * pull - 4.5) + log_sigma
        total = torch.from_numpy(drawn.counts.sum(axis=1)).clamp(min=50.0)
        usual = _USUAL * (total / 1000.0) ** _FALL
        near, far = truth.new_zeros(()), truth.new_zeros(())
        weights = np.arange(1.0, len(states) + 1.0)
        for weight, state in zip(weights / weights.sum(), states, strict=True):
            near = near + weight * functional.smooth_l1_loss(state, truth, beta=0.1)
            far = far + weight * (self._flux(state, truth) / usual).mean()
        return [likelihood.mean(), _NEAR * near, far]

    def _flux(self, state: Tensor, truth: Tensor) -> Tensor:
        """Give smoothed L1 and a part of the plain one, shape (n,)."""
        true = torch.exp(truth) * self._width
        found = torch.exp(torch.minimum(state, truth + 3.0)) * self._width
        smooth = true @ self._smooth
        smoothed = ((found @ self._smooth - smooth).abs() * self._band).sum(1)
        plain = ((found - true).abs() * self._band).sum(1)
        return smoothed / (smooth * self._band).sum(1) + _PLAIN * plain / (true * self._band).sum(1)


def _single(array: np.ndarray) -> Tensor:
    """Give an array as a tensor of single precision."""
    return torch.from_numpy(array.astype(np.float32))
