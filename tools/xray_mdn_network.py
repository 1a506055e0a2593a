"""The X-ray density network: its layers, and the exact likelihood of what it puts out.

Features of `kernels/xray_features.py` are projected on the principal components of those trained
on, each scaled to unit variance, so that small differences of bright spectra count as much as
large ones; then come residual layers. What the outputs mean is told by `models/xray_mdn.py`.
"""

import math

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]

from ..kernels.xray_features import FEATURES, SCALARS
from ..models.xray_mdn import ONE, OUTPUTS, SIZES, TWO, split

CLIP = 8.0  # standard deviations of a projected feature
NARROWEST, WIDEST = -7.0, 3.0  # ln of a width
_BLOCKS = (0, 128, 64), (128, 256, 64), (256, FEATURES - SCALARS, 16)  # from, to, components
_FLOOR = 3e-3  # deviation of a component that is not scaled up further
PROJECTED = sum(kept for *_, kept in _BLOCKS) + SCALARS


def projection(told: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Find mean and projection of features, shapes (FEATURES,) and (FEATURES, PROJECTED)."""
    mean = told.mean(axis=0)
    matrix, at = np.zeros((FEATURES, PROJECTED)), 0
    for low, high, kept in _BLOCKS:
        values, vectors = np.linalg.eigh(np.cov((told[:, low:high] - mean[low:high]).T))
        chosen = slice(-1, -kept - 1, -1)
        deviation = np.sqrt(np.maximum(values[chosen], 0.0)) + _FLOOR
        matrix[low:high, at : at + kept] = vectors[:, chosen] / deviation
        at += kept
    rows = np.arange(FEATURES - SCALARS, FEATURES)
    matrix[rows, at + np.arange(SCALARS)] = 1.0 / (told[:, rows].std(axis=0) + 1e-2)
    return torch.from_numpy(mean), torch.from_numpy(matrix.astype(np.float32))


class Network(nn.Module):
    """Residual layers from features to outputs.

    Parameters
    ----------
    mean, project : Tensor
        Of `projection`.
    width : int
        Of a layer.
    depth : int
        Residual layers.
    drop : float
        Part of a layer that is left out of each step of the training.
    """

    mean: Tensor
    project: Tensor

    def __init__(
        self, mean: Tensor, project: Tensor, *, width: int = 384, depth: int = 3, drop: float = 0.05
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("project", project)
        self.first = nn.Linear(PROJECTED, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, OUTPUTS)
        self.drop = nn.Dropout(drop)
        with torch.no_grad():
            self.last.weight *= 0.1
            self.last.bias.copy_(_beginning())

    def forward(self, told: Tensor) -> Tensor:
        """Give the outputs, shape (n, OUTPUTS)."""
        x = ((told - self.mean) @ self.project).clamp(-CLIP, CLIP)
        x = nn.functional.silu(self.first(x))
        for layer in self.hidden:
            x = x + self.drop(nn.functional.silu(layer(x)))
        logit, *numbers = split(self.last(x))
        finished = [logit[:, None]]
        for these, size in zip(numbers, SIZES.values(), strict=True):
            sizes = [1, size, size, these.shape[2] - 1 - 2 * size]
            weight, mean, log_width, slopes = these.split(sizes, dim=2)
            weight, width = torch.log_softmax(weight, 1), log_width.clamp(NARROWEST, WIDEST)
            parts = [weight, mean, width, slopes]
            finished.append(torch.cat(parts, 2).flatten(1))
        return torch.cat(finished, 1)


def _beginning() -> Tensor:
    """Give outputs to begin with: components spread over temperature and second plasma."""
    bias = torch.zeros(1, OUTPUTS)
    _, one, two = split(bias.numpy())
    for numbers, components in ((one, ONE), (two, TWO)):
        numbers[:, :, 1] = np.linspace(0.0, 1.6, components)
        numbers[:, :, 2] = 0.6
        size = 4 if components == ONE else 6
        numbers[:, :, 1 + size : 1 + 2 * size] = -0.5
    two[:, :, 6] = np.linspace(-1.5, 1.5, TWO)[::-1]
    return bias[0]


def negative_log_likelihood(
    outputs: Tensor, plasmas: Tensor, truth: Tensor, column_scale: Tensor
) -> Tensor:
    """Exact negative log likelihood of number and parameters of plasmas, shape (n,).

    Parameters
    ----------
    outputs : Tensor, shape (n, OUTPUTS)
    plasmas : Tensor, shape (n,)
        One or two.
    truth : Tensor, shape (n, 6)
        Relative to the anchors, y; what the last two are where there is one plasma does not matter.
    column_scale : Tensor, shape (n,)
        ln of the scale of ln nH.
    """
    logit, *numbers = split(outputs)
    two = plasmas > 1.5
    density = torch.where(
        two,
        log_density(numbers[1], truth),
        log_density(numbers[0], truth[:, : SIZES[1]]),
    )
    chance = nn.functional.logsigmoid(torch.where(two, logit, -logit))
    return column_scale - density - chance


def log_density(numbers: Tensor, truth: Tensor) -> Tensor:
    """Logarithm of a mixture's density, shape (n,).

    Parameters
    ----------
    numbers : Tensor, shape (n, component, number)
    truth : Tensor, shape (n, size)
    """
    size = truth.shape[1]
    weight = numbers[:, :, 0]
    away = truth[:, None] - numbers[:, :, 1 : 1 + size]
    log_width = numbers[:, :, 1 + size : 1 + 2 * size]
    slopes = numbers[:, :, 1 + 2 * size :]
    scaled, at = [away[:, :, 0]], 0
    for i in range(1, size):
        scaled.append(away[:, :, i] - (slopes[:, :, at : at + i] * away[:, :, :i]).sum(2))
        at += i
    e = torch.stack(scaled, dim=2) * torch.exp(-log_width)
    terms = weight - log_width.sum(2) - 0.5 * e.square().sum(2)
    return torch.logsumexp(terms, dim=1) - 0.5 * size * math.log(2 * math.pi)
