"""How a run is asked to stop: once politely, a second time at once."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""Exit code of a run that was stopped and can be resumed."""


@contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    """Set `stop` on SIGINT, SIGTERM or SIGHUP; a second signal ends the process there and then.

    Sealed parts survive that as they survive SIGKILL. A SIGHUP that was ignored (nohup) stays so.
    Outside the main thread, which alone is sent signals, this does nothing.
    """

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # show the cursor again
            os._exit(INTERRUPTED)
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asked.append(signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
