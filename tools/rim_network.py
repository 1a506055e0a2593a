"""The recurrent inference machine, in torch: steps from a first estimate, led by the score.

A recurrent inference machine (Putzky & Welling 2017, arXiv:1706.04008; for X-ray spectra Rhea et
al. 2023, arXiv:2311.18014) improves an estimate step by step with a network that sees the estimate
and the gradient of its likelihood. Here the estimate is eta = ln x and

- it begins at the fit of `kernels.unfold_prior`, which is linear theory, and not flat;
- the gradient enters as Poisson EM ratio and Fisher-scaled score, both of order one for any
  response, and as the step that linear theory takes from there, Phi H^-1 Phi^T dlnL/deta;
- what differs between responses enters as sensitivity and resolution at each energy;
- each step adds a change and a learned part of that linear step, and the last gives ln sigma too.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

PLACES = 4  # learned numbers at each energy: where lines are at z = 0
FEATURES = 12 + PLACES
_DEEPEST = 25.0  # ln flux goes no further under its level


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network.

    Parameters
    ----------
    channels, hidden : int
    steps : int
    """

    channels: int = 48
    hidden: int = 48
    steps: int = 5


class Cell(nn.Module):
    """One step: features -> memory along energy -> change, part of the linear step, ln sigma."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        wide, hidden = shape.channels, shape.hidden
        self.first = nn.Conv1d(FEATURES, wide, 5, padding=2)
        self.second = nn.Conv1d(wide, wide, 5, padding=6, dilation=3)
        self.everywhere = nn.Linear(2 * wide, wide)
        self.gates = nn.Conv1d(wide + hidden, 2 * hidden, 3, padding=1)
        self.third = nn.Conv1d(hidden, wide, 5, padding=4, dilation=2)
        self.out = nn.Conv1d(wide, 3, 1)
        # It begins by changing nothing: the first estimate is a good one.
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, memory: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Give the three outputs, shape (n, 3, energy), and the new memory."""
        a = functional.silu(self.first(features))
        a = a + functional.silu(self.second(a))
        pooled = torch.cat([a.mean(2), (a * weight).sum(2)], 1)
        a = a + functional.silu(self.everywhere(pooled)).unsqueeze(2)
        keep, new = self.gates(torch.cat([a, memory], 1)).chunk(2, 1)
        keep = torch.sigmoid(keep)
        memory = keep * memory + (1.0 - keep) * torch.tanh(new)
        return self.out(functional.silu(self.third(memory))), memory


class Rim(nn.Module):
    """All steps.

    Parameters
    ----------
    mean, basis : Tensor, shape (energy,) and (energy, component)
        Of `kernels.unfold_prior.SpectralPrior`.
    width : Tensor, shape (energy,)
        Of the working bins [keV].
    shape : Shape
    """

    mean: Tensor
    basis: Tensor
    width: Tensor
    axis: Tensor

    def __init__(self, mean: Tensor, basis: Tensor, width: Tensor, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.cell = Cell(shape)
        self.places = nn.Parameter(0.1 * torch.randn(1, PLACES, mean.shape[0]))
        self.register_buffer("mean", mean)
        self.register_buffer("basis", basis)
        self.register_buffer("width", width)
        self.register_buffer("axis", torch.linspace(-1.0, 1.0, mean.shape[0]))

    def forward(self, data: "Data", each: int = 1) -> tuple[list[Tensor], Tensor]:
        """Take all steps.

        Parameters
        ----------
        data : Data
        each : int
            Rows that follow each other and share a response.

        Returns
        -------
        list of Tensor, shape (n, energy)
            ln x after each step.
        Tensor, shape (n, energy)
            ln of its standard deviation after the last.
        """
        scene = self._scene(data, each)
        eta, states = data.start, []
        memory = torch.zeros_like(eta).unsqueeze(1).repeat(1, self.shape.hidden, 1)
        places = self.places.expand(eta.shape[0], -1, -1)
        outputs = scene.fixed[:, :3]
        for _ in range(self.shape.steps):
            changing, step, weight = self._look(data, scene, eta, each)
            features = torch.cat([changing, scene.fixed, places], 1)
            outputs, memory = self.cell(features, memory, weight)
            eta = eta + 0.3 * outputs[:, 0] + outputs[:, 1] * step.clamp(-1.0, 1.0)
            eta = torch.maximum(eta, scene.level - _DEEPEST)
            states.append(eta)
        return states, (torch.log(scene.sigma) + outputs[:, 2]).clamp(-6.0, 3.0)

    def _scene(self, data: "Data", each: int) -> "Scene":
        """Give what stays the same from step to step."""
        seen, squared = data.response.sum(1), data.response.square().sum(1)
        if each > 1:
            seen, squared = (one.repeat_interleave(each, 0) for one in (seen, squared))
        seen = seen + 1e-20
        left = (data.counts - data.background).sum(1, keepdim=True).clamp(min=10.0)
        level = torch.log(left / (seen * torch.exp(self.mean)).sum(1, keepdim=True))
        sigma = torch.sqrt((self.basis * (self.basis @ data.spread)).sum(2).clamp(min=1e-8))
        fixed = [
            0.5 * (data.start - level - self.mean),
            torch.log(sigma) + 1.0,
            0.2 * torch.log(seen / seen.amax(1, keepdim=True) + 1e-6),
            # Detector bins an energy is spread over, in keV of them over the width of its bin.
            0.5 * torch.log(seen.square() / (squared + 1e-30) / self.width) - 2.0,
            (0.5 * torch.log10(left) - 1.5).expand_as(data.start),
            self.axis.expand_as(data.start),
        ]
        return Scene(seen, level, sigma, torch.stack(fixed, 1))

    def _look(
        self, data: "Data", scene: "Scene", eta: Tensor, each: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compare an estimate with the data: features, the linear step, and where counts are."""
        flux = torch.exp(eta)
        model = (_fold(data.response, flux, each) + data.background).clamp(min=1e-9)
        ratio = _back(data.response, data.counts / model, each) / scene.seen
        expected = flux * scene.seen
        root = torch.sqrt(expected)
        score = (ratio - 1.0) * expected
        step = ((score @ self.basis).unsqueeze(1) @ data.spread).squeeze(1) @ self.basis.T
        features = [
            2.0 * (eta - data.start),
            torch.log(ratio.clamp(1e-3, 1e4)),
            torch.asinh((ratio - 1.0) * root),
            torch.asinh(root),
            torch.asinh(step / scene.sigma),
            _back(data.response, data.background / model, each) / scene.seen,
        ]
        weight = (root / root.sum(1, keepdim=True)).unsqueeze(1)
        return torch.stack(features, 1), step, weight


class Data(NamedTuple):
    """What the network is given.

    Parameters
    ----------
    counts : Tensor, shape (n, detector)
    response : Tensor, shape (n / each, detector, energy)
    background : Tensor, shape (n, detector)
    start : Tensor, shape (n, energy)
        ln x [photons/cm2/s/keV].
    spread : Tensor, shape (n, component, component)
        Covariance of the z of `kernels.unfold_prior`.
    """

    counts: Tensor
    response: Tensor
    background: Tensor
    start: Tensor
    spread: Tensor


class Scene(NamedTuple):
    """What stays the same from step to step: sensitivity, level, sigma of the start, features."""

    seen: Tensor
    level: Tensor
    sigma: Tensor
    fixed: Tensor


def _fold(response: Tensor, flux: Tensor, each: int) -> Tensor:
    """Give A x, shape (n, detector)."""
    detector, energy = response.shape[1:]
    grouped = flux.reshape(-1, each, energy) @ response.transpose(1, 2)
    return grouped.reshape(-1, detector)


def _back(response: Tensor, ratio: Tensor, each: int) -> Tensor:
    """Give A^T r, shape (n, energy)."""
    detector, energy = response.shape[1:]
    return (ratio.reshape(-1, each, detector) @ response).reshape(-1, energy)
