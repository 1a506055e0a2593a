"""From the score map of a spectrum to a density over velocity and broadening, by a network.

The network reads the features of `kernels/score_map.py` and puts out, for each of `COMPONENTS`
Gaussians, six numbers relative to an anchor: the first `MAIN` stand at the first peak of the map,
one at each of the other peaks, and `WIDE` ones share the velocity range. With the anchor's velocity
v0, broadening b0, widths s_v, s_b and slope r of the ridge, a component is

    b = b0 + s_b (m_b + S_b e1),   v = v0 + r (b - b0) + s_v (m_v + c e1 + S_v e2),

with e1, e2 standard normal, folded at zero broadening. So one network serves any instrument.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..kernels.mixture import Mixture
from ..kernels.score_map import ANCHORS, GLOBAL, Reading
from .card import load_card
from .session import WEIGHTS, open_session, run_in_blocks

Array = NDArray[np.float64]

MAIN = 4  # components at the first peak
WIDE = 3  # components that share the velocity range
COMPONENTS = MAIN + (ANCHORS - 1) + WIDE
OUTPUTS = 6
GRAPH = WEIGHTS / "mdn.onnx"
_BROAD = 120.0, 80.0  # km/s: broadening and its width of the components that share the range
_BLOCK = 256  # spectra that a graph is given at once, always: the rest is padded


@dataclass(frozen=True, slots=True)
class Calibration:
    """Factors on the widths of a network's components, by the height of the first peak.

    Parameters
    ----------
    height : tuple of float
        Logarithm of the peak's gain in chi2, rising.
    velocity, broadening : tuple of float
        Logarithms of the factors there; between, and beyond the ends, as `numpy.interp`.
    """

    height: tuple[float, ...] = (0.0,)
    velocity: tuple[float, ...] = (0.0,)
    broadening: tuple[float, ...] = (0.0,)

    def apply(self, outputs: NDArray[np.floating], gain: Array) -> Array:
        """Widen or narrow the components, shape (spaxel, component, OUTPUTS)."""
        height = np.log(np.maximum(gain, 1e-3))
        out = outputs.astype(np.float64)
        out[:, :MAIN, 2] += np.interp(height, self.height, self.velocity)[:, None]
        out[:, :MAIN, 4] += np.interp(height, self.height, self.broadening)[:, None]
        return out


class DensityNetwork:
    """A network on a device; safe to share between threads.

    Parameters
    ----------
    device : str
        "cpu" or "cuda:0".
    graph : Path
        The ``.onnx`` file, its card beside it.

    Raises
    ------
    CardError
        If graph and card do not belong together.
    DeviceMissingError
        If the device is not to be had.
    """

    def __init__(self, device: str = "cpu", graph: Path = GRAPH) -> None:
        self.card = load_card(graph)
        self._session = open_session(graph, device)
        self.provider: str = self._session.get_providers()[0]
        told = self.card.calibration
        self.calibration = Calibration(
            *(tuple(map(float, told[name])) for name in ("height", "velocity", "broadening"))
        )
        seen = self.card.holds["features"]
        self._seen = np.array(seen["low"]), np.array(seen["high"])

    def density(self, reading: Reading, velocity: tuple[ArrayLike, ArrayLike]) -> Mixture:
        """Give the density of each spectrum.

        Parameters
        ----------
        reading : Reading
            Finite throughout.
        velocity : (low, high), each of shape (spaxel,) or one number
            Range of the search [km/s].
        """
        outputs = self.calibration.apply(self.outputs(reading.features), reading.anchors[:, 0, 5])
        return mixture(outputs, bases(reading.anchors, velocity))

    def outputs(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the graph, in blocks of one size, so that a row does not depend on its neighbours."""
        return run_in_blocks(self._session, features, block=_BLOCK)

    def out_of_range(self, reading: Reading) -> NDArray[np.bool_]:
        """Tell which spectra are like none the network was trained on, shape (spaxel,)."""
        low, high = self._seen
        told = reading.features[:, :GLOBAL]
        return np.asarray(((told < low) | (told > high) | np.isnan(told)).any(axis=1))


def bases(anchors: NDArray[np.floating], velocity: tuple[ArrayLike, ArrayLike]) -> Array:
    """Anchor of every component, shape (spaxel, component, 5).

    Parameters
    ----------
    anchors : ndarray, shape (spaxel, peak, 6)
        Of a `Reading`.
    velocity : (low, high), each of shape (spaxel,) or one number
        Range of the search [km/s].
    """
    low, high = (np.broadcast_to(np.asarray(limit), len(anchors)) for limit in velocity)
    out = np.empty((len(anchors), COMPONENTS, 5))
    out[:, :MAIN] = anchors[:, :1, :5]
    out[:, MAIN:-WIDE] = anchors[:, 1:, :5]
    third = (high - low)[:, None] / WIDE
    out[:, -WIDE:, 0] = low[:, None] + third * (np.arange(WIDE) + 0.5)
    out[:, -WIDE:, 1], out[:, -WIDE:, 3] = _BROAD
    out[:, -WIDE:, 2] = 0.5 * third
    out[:, -WIDE:, 4] = 0.0
    return out


def mixture(outputs: NDArray[np.floating], base: Array) -> Mixture:
    """Make a density of the network's outputs.

    Parameters
    ----------
    outputs : ndarray, shape (spaxel, component, OUTPUTS)
        Logarithm of the weight, m_v, ln S_v, m_b, ln S_b and c of every component.
    base : ndarray, shape (spaxel, component, 5)
        As `bases` gives them.
    """
    weight, m_v, log_v, m_b, log_b, tilt = np.moveaxis(outputs.astype(np.float64), 2, 0)
    v0, b0, s_v, s_b, slope = np.moveaxis(base, 2, 0)
    weights = np.exp(weight)
    weights /= weights.sum(axis=1, keepdims=True)
    b, deviation = b0 + s_b * m_b, s_b * np.exp(log_b)
    mean = np.stack([v0 + s_v * m_v + slope * (b - b0), b], axis=2)
    shear = slope * deviation + tilt * s_v
    covariance = np.empty((*weights.shape, 2, 2))
    covariance[:, :, 0, 0] = np.square(s_v * np.exp(log_v)) + shear**2
    covariance[:, :, 0, 1] = covariance[:, :, 1, 0] = shear * deviation
    covariance[:, :, 1, 1] = deviation**2
    return Mixture(weights, mean, covariance)
