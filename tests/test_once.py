import threading
import time

import pytest

from streamfit.kernels.once import Once


def test_many_threads_make_one_table():
    made, tables = [], Once()
    gate = threading.Barrier(4)

    def make():
        made.append(1)
        time.sleep(0.05)
        return object()

    def ask():
        gate.wait()
        found.append(tables.get("key", make))

    found = []
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len({id(table) for table in found}) == 1
    assert tables.values() == found[:1]


def test_tables_of_different_keys_are_made_side_by_side():
    tables, gate = Once(), threading.Barrier(2, timeout=10)
    threads = [threading.Thread(target=tables.get, args=(key, gate.wait)) for key in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tables.values()) == 2  # else the barrier would have broken


def test_an_error_leaves_no_table_behind():
    tables = Once()
    with pytest.raises(ZeroDivisionError):
        tables.get(1, lambda: 1 / 0)
    assert tables.values() == []
    assert tables.get(1, lambda: "made") == "made"
