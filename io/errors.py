"""The tree of what a user can mend.

StreamFitError
├── InputError(ValueError)      a file, an option or an expression: exit code 2
│   └── ChangedInputError       the input is no longer what the run began with
├── RunError(RuntimeError)      the run directory cannot be used as asked: exit code 2
├── StorageError(OSError)       the disk refused what was written: exit code 2
└── DeviceError(RuntimeError)   the device asked for is not there: exit code 3

Every message is one line: where, what was found (both numbers), the cure.
"""


class StreamFitError(Exception):
    """Anything stream-fit raises on purpose."""


class InputError(StreamFitError, ValueError):
    """A file, option or expression that the user can mend."""


class ChangedInputError(InputError):
    """The input or the configuration is not what the run began with."""


class RunError(StreamFitError, RuntimeError):
    """The run directory cannot be used as asked."""


class StorageError(StreamFitError, OSError):
    """The disk refused what was written; what was written before is safe."""


class DeviceError(StreamFitError, RuntimeError):
    """The device asked for is not there."""
