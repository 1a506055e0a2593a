"""Which device computes: the only place that knows.

The fits of this version run on the CPU, compiled by numba. A GPU asked for by name and not to be
had is an error, never a silent fall back to the CPU.
"""

import re


class DeviceMissingError(RuntimeError):
    """The device asked for is not there, or cannot do what is asked."""


def resolve_device(spec: str) -> tuple[str, ...]:
    """Say where the fits run.

    Parameters
    ----------
    spec : str
        "auto", "cpu", "cuda" or "cuda:0,1".

    Returns
    -------
    tuple of str
        One entry per device: ("cpu",).

    Raises
    ------
    ValueError
        If `spec` is none of these.
    DeviceMissingError
        If a GPU is asked for.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+(,\d+)*)?", spec):
        raise ValueError(f"device {spec!r} is none of auto, cpu, cuda and cuda:0,1")
    if spec.startswith("cuda"):
        import onnxruntime

        providers = ", ".join(onnxruntime.get_available_providers())
        raise DeviceMissingError(
            f"--device {spec}: GPU fits are not available in this version (onnxruntime "
            f"{onnxruntime.__version__} lists {providers}); use --device auto"
        )
    return ("cpu",)
