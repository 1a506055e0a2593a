"""The peak memory of a whole command, for tests that hold it flat."""

import subprocess
import sys

COMMAND = (
    "import sys; from streamfit.stream.cli import main; code = main(sys.argv[1:]);"
    "peak = open('/proc/self/status').read().partition('VmHWM:')[2].split()[0];"
    "print(int(peak) * 1024); sys.exit(code)"
)
"""For ``python -c``: runs its arguments and prints its peak [bytes].

VmHWM is of that process alone; getrusage begins with what the one it was forked from held.
"""


def peak_of(*words: str) -> int:
    """Run ``stream-fit`` in a process of its own and give its peak resident memory [bytes]."""
    command = [sys.executable, "-c", COMMAND, *words]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
