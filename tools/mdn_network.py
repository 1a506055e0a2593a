"""The mixture density network: its layers, what its output means, and the exact likelihood.

The network reads the `FEATURES` of a score map and gives for each of `COMPONENTS` Gaussians six
numbers relative to an anchor: the first four stand at the first peak of the map, one at each of the
other peaks, and three share the velocity range. With the anchor's velocity v0, broadening b0,
widths s_v, s_b and slope r, a component is

    b = b0 + s_b (m_b + S_b e1),   v = v0 + r (b - b0) + s_v (m_v + c e1 + S_v e2),

with e1, e2 standard normal: triangular, so every output is a proper density. It is folded at zero
broadening, as `kernels/mixture.py` explains; `models/mdn.py` makes the mixture of it.
"""

import math

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]

from ..kernels.score_map import FEATURES
from ..models.mdn import COMPONENTS, OUTPUTS

CLIP = 8.0  # standard deviations of a feature
LARGEST = 6.0  # of the logarithm of a width


class Network(nn.Module):
    """Residual layers from standardised features to (component, output).

    Parameters
    ----------
    mean, scale : Tensor, shape (feature,)
        Of the training set.
    width : int
        Of a layer.
    depth : int
        Residual layers.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, *, width: int = 256, depth: int = 2) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.first = nn.Linear(FEATURES, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, COMPONENTS * OUTPUTS)
        with torch.no_grad():
            self.last.weight *= 0.1
            bias = torch.zeros(COMPONENTS, OUTPUTS)
            bias[4:, 0] = -2.0
            bias[:4, 2] = bias[:4, 4] = torch.tensor([0.0, 0.3, 0.8, 1.5])
            self.last.bias.copy_(bias.ravel())

    def forward(self, features: Tensor) -> Tensor:
        """Give logarithms of weights, means, logarithms of widths and tilts."""
        x = ((features - self.mean) / self.scale).clamp(-CLIP, CLIP)
        x = nn.functional.silu(self.first(x))
        for layer in self.hidden:
            x = x + nn.functional.silu(layer(x))
        out = self.last(x).view(-1, COMPONENTS, OUTPUTS)
        weight = torch.log_softmax(out[:, :, :1], dim=1)
        widths = LARGEST * torch.tanh(out[:, :, 2::2] / LARGEST)
        m_v, m_b, tilt = out[:, :, 1:2], out[:, :, 3:4], out[:, :, 5:]
        return torch.cat([weight, m_v, widths[:, :, :1], m_b, widths[:, :, 1:], tilt], dim=2)


def negative_log_likelihood(out: Tensor, bases: Tensor, truth: Tensor) -> Tensor:
    """Exact negative log likelihood of velocities and broadenings, shape (spaxel,).

    Parameters
    ----------
    out : Tensor, shape (spaxel, component, OUTPUTS)
    bases : Tensor, shape (spaxel, component, 5)
        Anchor of each component: velocity, broadening, widths and slope.
    truth : Tensor, shape (spaxel, 2)
        Velocity and broadening [km/s].
    """
    weight, m_v, log_v, m_b, log_b, tilt = out.unbind(2)
    v0, b0, s_v, s_b, slope = bases.unbind(2)
    v, b = truth[:, 0, None], truth[:, 1, None]
    terms = []
    for folded in (b, -b):
        beyond = (folded - b0) / s_b
        e1 = (beyond - m_b) * torch.exp(-log_b)
        along = (v - v0 - slope * (folded - b0)) / s_v
        e2 = (along - m_v - tilt * e1) * torch.exp(-log_v)
        terms.append(weight - 0.5 * (e1 * e1 + e2 * e2) - log_v - log_b - torch.log(s_v * s_b))
    return math.log(2 * math.pi) - torch.logsumexp(torch.cat(terms, dim=1), dim=1)
