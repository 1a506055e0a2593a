"""Which device computes: the only place that knows.

On the CPU the fits run compiled by numba; on a GPU they run as the graph of `fit_graph.py`. What
onnxruntime lists as available says nothing: its CUDA wheel lists CUDA on machines without a GPU,
and a session that cannot have it falls back to the CPU in silence. So a session is opened and asked
what it got, and a GPU that was asked for and not got is an error.
"""

import ctypes
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnxruntime

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
WEIGHTS = Path(__file__).with_name("weights")

_PROBE = WEIGHTS / "fit_gaussian.onnx"
_WARNINGS, _NOTHING = 2, 4  # onnxruntime's levels of log severity; the first is its default


class DeviceMissingError(RuntimeError):
    """The device asked for is not there, or cannot do what is asked."""


def resolve_device(spec: str) -> tuple[str, ...]:
    """Say where the fits run.

    Parameters
    ----------
    spec : str
        "auto", "cpu", "cuda" (its first device) or "cuda:0,1". "auto" is the CPU: the compiled
        loops are known to be fast, the graph has yet to be timed on a GPU.

    Returns
    -------
    tuple of str
        One entry per device: ("cpu",) or ("cuda:0", "cuda:1").

    Raises
    ------
    ValueError
        If `spec` is none of these.
    DeviceMissingError
        If a GPU that is asked for by name is not to be had.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+(,\d+)*)?", spec):
        raise ValueError(f"device {spec!r} is none of auto, cpu, cuda and cuda:0,1")
    if spec in ("auto", "cpu"):
        return ("cpu",)
    numbers = dict.fromkeys(spec.removeprefix("cuda").removeprefix(":").split(","))
    devices = tuple(f"cuda:{int(number or 0)}" for number in numbers)
    for device in devices:
        open_session(_PROBE, device)
    return devices


def open_session(graph: Path, device: str) -> "onnxruntime.InferenceSession":
    """Open a graph on a device, on one thread that sleeps while it waits.

    Parameters
    ----------
    graph : Path
        An ``.onnx`` file.
    device : str
        "cpu" or "cuda:0".

    Returns
    -------
    onnxruntime.InferenceSession

    Raises
    ------
    DeviceMissingError
        If the session runs on anything but the device.
    """
    kind, _, number = device.partition(":")
    if kind == "cuda" and (count := cuda_devices()) <= int(number):
        raise DeviceMissingError(_missing(device, f"the NVIDIA driver knows {count} devices"))
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = _NOTHING
    asked = PROVIDERS[kind], {"device_id": number} if number else {}
    if kind == "cuda" and hasattr(onnxruntime, "preload_dlls"):
        with redirect_stdout(StringIO()):
            onnxruntime.preload_dlls()
    onnxruntime.set_default_logger_severity(_NOTHING)  # what it says is said below, in one line
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=[asked])
    finally:
        onnxruntime.set_default_logger_severity(_WARNINGS)
    got = session.get_providers()[0]
    if got != PROVIDERS[kind]:
        found = f"a session got {got}, as it does where libraries of CUDA or cuDNN are missing"
        raise DeviceMissingError(_missing(device, found))
    return session


def run_in_blocks(
    session: "onnxruntime.InferenceSession", features: NDArray[np.float32], *, block: int
) -> NDArray[np.float32]:
    """Run a graph that takes ``features``, always on so many rows at once: the rest is padded.

    So a row's numbers do not depend on how many others there are.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    features : ndarray, shape (row, feature)
    block : int

    Returns
    -------
    ndarray, shape (row, ...)
        The graph's first output.
    """
    held = np.zeros((block, features.shape[1]), np.float32)
    found = []
    for first in range(0, max(len(features), 1), block):
        rows = min(block, len(features) - first)
        held[:rows] = features[first : first + rows]
        held[rows:] = 0.0
        found.append(np.asarray(session.run(None, {"features": held})[0])[:rows])
    return np.concatenate(found)


def cuda_devices() -> int:
    """Count the GPUs that the NVIDIA driver of this machine knows; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _missing(device: str, found: str) -> str:
    """Say in one line what was asked for and what was found."""
    import onnxruntime

    providers = ", ".join(onnxruntime.get_available_providers())
    return (
        f"--device {device}: no CUDA session opens: {found} (onnxruntime {onnxruntime.__version__} "
        f"lists {providers}); use --device auto"
    )
