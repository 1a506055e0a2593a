import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamfit.io.errors import RunError, StorageError
from streamfit.io.parts import PartSink
from streamfit.io.records import BatchKey
from streamfit.io.results import Column, arrow_schema
from streamfit.io.table import batches, ledger, read_table

SCHEMA = arrow_schema(
    [
        Column("x", pa.int32(), "pixel", "column", "pos.cartesian.x"),
        Column("value", pa.float64(), "", "random, with NaN"),
    ],
    {"lines": "Halpha"},
)
ROWS = 50


def rows(number):
    value = np.random.default_rng(number).normal(size=ROWS)
    value[::7] = np.nan
    return pa.record_batch([np.full(ROWS, number, dtype=np.int32), value], schema=SCHEMA)


def key(number):
    return BatchKey("cube", number * ROWS, (number + 1) * ROWS)


def fill(folder, numbers, **sink):
    with_parts = PartSink(folder, SCHEMA, **sink)
    for number in numbers:
        with_parts.write(key(number), rows(number))
    with_parts.close()
    return with_parts


def test_a_part_holds_sixteen_row_groups(tmp_path):
    fill(tmp_path, range(20))
    groups = [pq.read_metadata(path).num_row_groups for path in sorted(tmp_path.iterdir())]
    assert groups == [16, 4]


def test_a_part_is_sealed_when_it_is_old(tmp_path):
    fill(tmp_path, range(3), seconds_per_part=0)
    assert len(list(tmp_path.iterdir())) == 3


def test_the_ledger_names_every_batch(tmp_path):
    fill(tmp_path, range(20))
    assert PartSink(tmp_path, SCHEMA).done() == {f"{n * ROWS}:{(n + 1) * ROWS}" for n in range(20)}


def test_the_table_does_not_depend_on_how_batches_lie_in_parts(tmp_path):
    fill(tmp_path / "one", range(20))
    fill(tmp_path / "two", [7, 3, 19], batches_per_part=2)
    fill(tmp_path / "two", [n for n in range(20) if n not in (7, 3, 19)], batches_per_part=5)
    one, two = (read_table(tmp_path / name) for name in ("one", "two"))
    assert one.schema.equals(two.schema, check_metadata=True)
    assert one["x"].to_pylist() == two["x"].to_pylist() == sorted(one["x"].to_pylist())
    assert one["value"].to_numpy().tobytes() == two["value"].to_numpy().tobytes()


def test_metadata_of_columns_and_table_come_back(tmp_path):
    fill(tmp_path, [0])
    table = read_table(tmp_path)
    assert table.schema.metadata == {b"lines": b"Halpha"}
    assert table.schema.field("x").metadata == SCHEMA.field("x").metadata
    assert read_table(tmp_path, ["value"]).column_names == ["value"]


def test_no_column_has_a_dictionary(tmp_path):
    fill(tmp_path, [0])
    group = pq.read_metadata(next(tmp_path.iterdir())).row_group(0)
    assert not any(group.column(at).has_dictionary_page for at in range(group.num_columns))


def test_opening_deletes_what_was_not_sealed(tmp_path):
    fill(tmp_path, [0])
    (tmp_path / "part-000001.parquet.tmp").write_bytes(b"half")
    sink = PartSink(tmp_path, SCHEMA)
    assert not list(tmp_path.glob("*.tmp"))
    assert sink.done() == {"0:50"}


def test_further_parts_do_not_replace_earlier_ones(tmp_path):
    fill(tmp_path, [0])
    fill(tmp_path, [1])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "part-000000.parquet",
        "part-000001.parquet",
    ]


@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.9, 0.999])
def test_one_changed_bit_anywhere_is_found(tmp_path, where):
    fill(tmp_path, range(4))
    part = next(tmp_path.iterdir())
    content = bytearray(part.read_bytes())
    content[int(where * len(content))] ^= 4
    part.write_bytes(content)
    with pytest.raises(RunError, match=r"part-000000\.parquet: the part is damaged .*delete it"):
        ledger(tmp_path)


@pytest.mark.parametrize("left", [0, 3, 100, -1])
def test_a_part_that_was_cut_is_found(tmp_path, left):
    fill(tmp_path, range(4))
    part = next(tmp_path.iterdir())
    part.write_bytes(part.read_bytes()[:left])
    with pytest.raises(RunError, match=r"the part is damaged .*bytes, no readable footer"):
        list(batches(tmp_path))


def test_a_parquet_file_of_another_program_is_refused(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "part-000000.parquet")
    with pytest.raises(RunError, match="damaged"):
        ledger(tmp_path)


def test_a_batch_in_two_parts_is_refused(tmp_path):
    fill(tmp_path, [0])
    fill(tmp_path, [0])
    with pytest.raises(RunError, match=r"holds batch 0:50, and so does part-000000\.parquet"):
        ledger(tmp_path)


def test_other_columns_are_refused(tmp_path):
    fill(tmp_path, [0])
    other = pa.schema([SCHEMA.field("x")])
    with pytest.raises(RunError, match="its 2 columns are not the 1 of this run"):
        PartSink(tmp_path, other).done()


def test_rows_must_match_their_batch(tmp_path):
    with pytest.raises(ValueError, match="50 rows for 10 spaxels"):
        PartSink(tmp_path, SCHEMA).write(BatchKey("cube", 0, 10), rows(0))


def test_an_empty_folder_has_no_table(tmp_path):
    with pytest.raises(RunError, match="no part is sealed yet"):
        read_table(tmp_path)


def test_a_disk_that_refuses_is_told_in_one_line(tmp_path):
    fill(tmp_path, [0])
    sink = PartSink(tmp_path, SCHEMA)
    sink.write(key(1), rows(1))
    (tmp_path / "part-000001.parquet.tmp").symlink_to("/dev/full")
    with pytest.raises(StorageError) as caught:
        sink.close()
    assert "No space left on device" in str(caught.value)
    assert "MiB wanted" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["part-000000.parquet"]


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="free some space and resume"):
        PartSink(tmp_path / "file" / "fit", SCHEMA)
