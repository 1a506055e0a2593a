"""Libraries that come with an extra of the package, imported only where they are asked for."""

import importlib
from typing import Any

from ..io.errors import InputError


def require(name: str, asked: str) -> Any:
    """Import a library of the extra ``bayes``.

    Parameters
    ----------
    name : str
        Of the library.
    asked : str
        Command or option that needs it.

    Raises
    ------
    InputError
        If it is not installed, with the cure.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(
            f"{asked}: {name} is not installed; pip install 'stream-fit[bayes]'"
        ) from None
