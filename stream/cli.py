"""The command ``stream-fit``: parses, starts, and turns what happens into an exit code.

0 done, 2 something the user can mend, 3 the device, 4 finished but some batches failed, 130
interrupted. Progress and errors go to standard error; standard output is for what was asked for.
This is the one place that starts tools.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from ..io.errors import DeviceError, StreamFitError
from . import commands
from .commands import DEVICE, DONE, MENDABLE
from .parser import build_parser, join_negative
from .signals import INTERRUPTED


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        The exit code.
    """
    words = join_negative(sys.argv[1:] if argv is None else argv)
    # A simulator is imported only if one is called.
    kinds = {"cube": _simulate_cube_arguments, "xray": _simulate_xray_arguments}
    if words[:1] != ["simulate"]:
        kinds = dict.fromkeys(kinds, lambda parser: None)
    arguments = build_parser(kinds).parse_args(words)
    own = {"simulate": _simulate, "demo": _demo}
    command = own.get(arguments.command) or getattr(commands, arguments.command)
    try:
        return command(arguments)
    except DeviceError as error:
        return _complain(error, DEVICE)
    except StreamFitError as error:
        return _complain(error, MENDABLE)
    except BrokenPipeError:  # whoever read standard output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return _complain("interrupted before the run began; nothing was written", INTERRUPTED)


def _complain(error: object, code: int) -> int:
    """Print one line and give the exit code."""
    print(f"stream-fit: {error}", file=sys.stderr)
    return code


def _simulate_cube_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the simulator."""
    from ..tools.simulate_cube import add_arguments

    add_arguments(parser)


def _simulate_xray_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the X-ray simulator."""
    from ..tools.simulate_xray import add_arguments

    add_arguments(parser)


def _simulate(arguments: argparse.Namespace) -> int:
    """Write a simulated cube, or X-ray observations."""
    if arguments.kind == "xray":
        from ..tools import simulate_xray

        return simulate_xray.run(arguments)
    from ..tools.simulate_cube import run

    return run(arguments)


def _demo(arguments: argparse.Namespace) -> int:
    """Simulate a little, fit it, draw it and hold it against its truth."""
    if arguments.kind == "xray":
        from ..tools.compare_xray import fits
        from ..tools.compare_xray import report as compare_xray
        from ..tools.simulate_xray import simulate_demo as simulate_xray
        from .demo import demo_xray

        return demo_xray(arguments, simulate=simulate_xray, compare=compare_xray, hold=fits)
    from ..tools.compare import report
    from ..tools.simulate_cube import simulate_demo
    from .demo import demo

    return demo(arguments, simulate=simulate_demo, compare=report)
