"""The batched fit as one ONNX graph: what `kernels/varpro.py` does, on a GPU or anywhere else.

`tools/build_fit_graph.py` draws the graphs: variable projection by Levenberg and Marquardt in
float64 over a whole batch, in a loop that ends with its last spectrum. Sizes are found as a graph
runs and the lines, their ties and groups are inputs, so two files serve every model: one for sinc
and sincgauss, one for Gaussians. What a model and an axis fix is put on the device once and bound
to every run. `GraphFitter` takes and gives what `varpro.fit` does; profiles come from a quadrature
(`interferogram.py`) and not from `kernels/profile.py`, so the two engines check each other.
"""

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..kernels import varpro
from ..kernels.emission import Continuum, Emission, Shape
from .graph_inputs import GraphModel, class_pairs, element, largest_phase, ordered
from .interferogram import Interferogram
from .session import WEIGHTS, open_session

if TYPE_CHECKING:
    import onnxruntime

Array = NDArray[np.float64]

_CHUNK = {"cpu": 128, "cuda": 4096}  # spectra of one run: what a cache holds, or fills a GPU
_HELD = 128  # models whose constants stay on the device
_GRAPHS = "fit_gaussian", "fit_fts"
_OUTPUTS = ("theta", "linear", "covariance", "chi2", "evaluations", "outcome", "flat_chi2")


@dataclass(frozen=True, slots=True)
class _Held:
    """A model's constants on the device."""

    values: "dict[str, onnxruntime.OrtValue]"
    quadrature: Interferogram | None


class Fitter(Protocol):
    """Anything that is called like `varpro.fit`."""

    def __call__(
        self,
        data: NDArray[np.floating],
        weight: NDArray[np.floating],
        emission: Emission,
        continuum: Continuum,
        geometry: varpro.Geometry,
        *,
        start: tuple[Array, Array],
        bounds: varpro.Bounds,
        iterations: int = 40,
    ) -> varpro.Fit:
        """Fit every spectrum of a batch from its own start."""
        ...


class GraphFitter:
    """Fits batches of spectra on one device; called like `varpro.fit`.

    Calls from several threads follow one another.

    Parameters
    ----------
    device : str
        "cpu" or "cuda:0".

    Raises
    ------
    DeviceMissingError
        If the device is not there.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._kind, _, number = device.partition(":")
        self._number = int(number or 0)
        self._sessions = {name: open_session(WEIGHTS / f"{name}.onnx", device) for name in _GRAPHS}
        self._held: dict[tuple[object, ...], _Held] = {}
        self._lock = threading.Lock()

    def __call__(
        self,
        data: NDArray[np.floating],
        weight: NDArray[np.floating],
        emission: Emission,
        continuum: Continuum,
        geometry: varpro.Geometry,
        *,
        start: tuple[Array, Array],
        bounds: varpro.Bounds,
        iterations: int = 40,
    ) -> varpro.Fit:
        """Fit every spectrum of a batch from its own start; see `varpro.fit`."""
        varpro.check(data, weight, emission, geometry, start)
        bounds, theta = varpro.boxed(start, bounds)
        basis = continuum.rows(geometry.coordinate)
        fit = _empty(len(data), 2 * emission.groups, emission.columns + continuum.terms)
        good = (weight > 0) & np.isfinite(data) & np.isfinite(weight)
        used = good.sum(axis=1)
        fit.dof[:] = np.maximum(used - fit.covariance.shape[1], 0)
        whole = geometry.scale + geometry.width.sum(axis=1) + theta.sum(axis=1)
        usable = np.flatnonzero((fit.dof > 0) & np.isfinite(whole))
        whitening = np.where(good, weight, 0.0).astype(np.float64)
        y = np.where(good, data, 0.0) * whitening
        pairs = class_pairs(emission, geometry.part(usable))
        for pair in np.unique(pairs, axis=0):
            rows = usable[(pairs == pair).all(axis=1)]
            member = int(pair[0]), int(pair[1])
            model = GraphModel(emission, basis, geometry.coordinate, bounds, iterations, member)
            for first in range(0, rows.size, _CHUNK[self._kind]):
                part = rows[first : first + _CHUNK[self._kind]]
                found = self._run(model, y[part], whitening[part], theta[part], geometry.part(part))
                _put(fit, part, found)
        fitted = usable[(fit.outcome[usable] & varpro.Outcome.SINGULAR) == 0]
        known = np.isfinite(np.diagonal(fit.covariance[fitted], axis1=1, axis2=2))
        fit.dof[fitted] = used[fitted] - known.sum(axis=1)
        return fit

    def _run(
        self, model: GraphModel, y: Array, weight: Array, start: Array, geometry: varpro.Geometry
    ) -> dict[str, Array]:
        """Fit spectra of one model, axis and class; outputs of the graph by name."""
        with self._lock:
            held = self._constants(model)
            inputs = {
                "y": ordered(y, model.order),
                "weight": ordered(weight, model.order),
                "start": start,
                "scale": geometry.scale[:, None],
                "width": geometry.width,
                "element": element(model.emission, geometry)[:, None],
            }
            if held.quadrature is not None:
                inputs["edge"] = held.quadrature.edge(largest_phase(geometry))
            session = self._sessions[_graph(model.emission)]
            binding = session.io_binding()
            values = held.values | {name: self._sent(value) for name, value in inputs.items()}
            for name, value in values.items():
                binding.bind_ortvalue_input(name, value)
            for name in _OUTPUTS:
                binding.bind_output(name)
            session.run_with_iobinding(binding)
            return dict(zip(_OUTPUTS, binding.copy_outputs_to_cpu(), strict=True))

    def _constants(self, model: GraphModel) -> _Held:
        """Find a model's constants on the device, or put them there."""
        key = model.key
        held = self._held.pop(key, None)
        if held is None:
            axis, quadrature = model.axis()
            inputs = {**model.constants(), **axis}
            held = _Held({name: self._sent(v) for name, v in inputs.items()}, quadrature)
        self._held[key] = held
        if len(self._held) > _HELD:
            del self._held[next(iter(self._held))]  # the one not used for longest
        return held

    def _sent(self, value: NDArray) -> "onnxruntime.OrtValue":
        """Put an array on the device."""
        import onnxruntime

        value = np.ascontiguousarray(value)
        return onnxruntime.OrtValue.ortvalue_from_numpy(value, self._kind, self._number)


class DevicePool:
    """Fits on whichever of several devices is free; called like `varpro.fit`.

    Parameters
    ----------
    devices : sequence of str
        Such as "cuda:0".

    Raises
    ------
    DeviceMissingError
        If one is not there.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._free: queue.SimpleQueue[GraphFitter] = queue.SimpleQueue()
        for device in devices:
            self._free.put(GraphFitter(device))

    def __call__(self, *spectra: Any, **options: Any) -> varpro.Fit:
        """Fit every spectrum of a batch from its own start; see `varpro.fit`."""
        fitter = self._free.get()
        try:
            return fitter(*spectra, **options)
        finally:
            self._free.put(fitter)


def choose_fitter(devices: tuple[str, ...]) -> Fitter:
    """Give the fit that runs on these devices: compiled loops on the CPU, graphs on GPUs."""
    return varpro.fit if devices == ("cpu",) else DevicePool(devices)


def _graph(emission: Emission) -> str:
    return _GRAPHS[0] if emission.shape is Shape.GAUSSIAN else _GRAPHS[1]


def _empty(spaxels: int, nonlinear: int, linear: int) -> varpro.Fit:
    """Give the rows of spectra that have no data."""

    def nothing(*shape: int) -> Array:
        return np.full((spaxels, *shape), np.nan)

    none = np.zeros((3, spaxels), np.int64)
    none[2] = varpro.Outcome.NO_DATA
    return varpro.Fit(
        velocity=nothing(nonlinear // 2),
        broadening=nothing(nonlinear // 2),
        linear=nothing(linear),
        covariance=nothing(nonlinear + linear, nonlinear + linear),
        chi2=nothing(),
        flat_chi2=nothing(),
        dof=none[0],
        evaluations=none[1],
        outcome=none[2],
    )


def _put(fit: varpro.Fit, rows: NDArray[np.int64], found: dict[str, Array]) -> None:
    """Enter what the graph found."""
    fit.velocity[rows], fit.broadening[rows] = found["theta"][:, 0::2], found["theta"][:, 1::2]
    for name in ("linear", "covariance", "chi2", "flat_chi2", "evaluations", "outcome"):
        getattr(fit, name)[rows] = found[name]
