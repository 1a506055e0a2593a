"""Tables of groups, as they are written by people and by programs."""

import pytest
from astropy.table import Table

from streamfit.io.errors import InputError
from streamfit.io.stack_table import StackRow, read_stack_table

ROWS = [StackRow("a.pi", "one", 0.1, 0.02), StackRow("b.pi", "two three", None, None)]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_csv_and_tsv_with_gaps_are_read(tmp_path, separator):
    path = tmp_path / "t.txt"
    lines = ("obs,group,redshift,nh", "a.pi,one,0.1,0.02", "b.pi,two three,,")
    path.write_text("\n".join(lines).replace(",", separator) + "\n")
    assert read_stack_table(path) == ROWS


def test_ecsv_and_names_in_capitals_are_read(tmp_path):
    path = tmp_path / "t.ecsv"
    table = Table({"OBS": ["a.pi"], "Group": ["7"], "Redshift": [0.5]})
    table.write(path, format="ascii.ecsv")
    assert read_stack_table(path) == [StackRow("a.pi", "7", 0.5)]


def test_nan_is_not_known(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("obs,group,redshift\na,1,nan\nb,1,0.2\n")
    assert [row.redshift for row in read_stack_table(path)] == [None, 0.2]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read as a table"),
        (b"\x00\xff\xfe\x00", "cannot be read as a table"),
        (b"a,b\n1,2\n", "no column obs, only a, b; name one so"),
    ],
)
def test_what_is_no_table_of_groups_is_told_in_one_line(tmp_path, content, said):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_stack_table(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="no such file; give obs, group, or a table"):
        read_stack_table(tmp_path / "gone.csv")
