"""Tables that are made when they are first asked for, once, whichever thread asks."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Table = TypeVar("_Table")


class _Place(Generic[_Table]):
    """Where a table is or will be."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.table: list[_Table] = []


class Once(Generic[_Table]):
    """Tables by key; different ones are made side by side, none is made twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[Hashable, _Place[_Table]] = {}

    def get(self, key: Hashable, make: Callable[[], _Table]) -> _Table:
        """Give the table of a key, made by `make` if it is the first time.

        An error of `make` is the caller's; the next who asks tries again.
        """
        with self._lock:
            place = self._places.setdefault(key, _Place())
        if not place.table:
            with place.lock:
                if not place.table:
                    place.table.append(make())
        return place.table[0]

    def values(self) -> list[_Table]:
        """Give the tables made so far."""
        with self._lock:
            return [table for place in self._places.values() for table in place.table]
