"""What figures were measured on."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version

import psutil


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures were measured on."""

    cpu: str
    cores: int
    memory_gib: float
    load: float  # processes that ran in the last minute, ours included
    python: str
    numpy: str
    scipy: str
    numba: str

    @classmethod
    def here(cls) -> "Machine":
        """Describe this machine."""
        libraries = {name: version(name) for name in ("numpy", "scipy", "numba")}
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return cls(
            cpu=_cpu(),
            cores=cores or 1,
            memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
            load=round(psutil.getloadavg()[0], 1),
            python=platform.python_version(),
            **libraries,
        )


def _cpu() -> str:
    """Name of the processor as the system gives it."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
