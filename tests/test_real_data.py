"""Real cubes and spectra beside what others published on them, and how that is printed."""

import numpy as np
import pytest

from streamfit.io.errors import InputError
from streamfit.io.table import read_table
from streamfit.tools.real_data import COMPARISONS, compare, main
from streamfit.tools.references import IFSCUBE_NII, one_of_each_bin, read_lzifu
from streamfit.tools.side_by_side import (
    Check,
    Comparison,
    markdown,
    reasons,
    relativistic,
    typical,
    wide_table,
)

# What must be among the checks, so that none is lost.
EXPECTED = {
    "a478": 16,
    "ngc3081": 6,
    "sami": 30,
    "m57": 6,
    "m31": 7,
    "ngc7009": 5,
}


@pytest.mark.parametrize("name", list(COMPARISONS))
def test_real_data_agree_with_what_others_published(shared_data, tmp_path, name):
    found = compare(shared_data, tmp_path, [name])
    checks = [check for comparison in found for check in comparison.checks]
    assert len(checks) == EXPECTED[name]
    for comparison in found:
        for check in comparison.checks:
            assert np.isfinite(check.found), f"{comparison.data}: {check.quantity}"
            assert check.holds, f"{comparison.data}: {check.quantity} {check.shown}"
    for run in tmp_path.glob("*/run.toml"):
        table = read_table(run.parent / "fit")
        good = table["status"].to_numpy() == 0
        for column in ("velocity", "velocity_err", "broadening", "broadening_err", "chi2"):
            assert np.isfinite(table[column].to_numpy()[good]).all(), (run.parent.name, column)


def test_the_spaxels_of_a_sami_bin_are_counted_once(shared_data):
    folder = shared_data / "ifu" / "sami"
    chosen = one_of_each_bin(folder / "41144_A_sectors_red.fits.gz")
    theirs = read_lzifu(folder, "41144_A", ("NII6583",))
    assert chosen.shape == theirs.velocity.shape == (50, 50)
    assert chosen.sum() == 31
    assert theirs.flux_err["NII6583"][chosen & theirs.good].min() > 0


def test_relativistic_velocities_differ_by_half_the_square():
    velocity = np.array([-507.0, 0.0, 1000.0])
    assert relativistic(velocity) == pytest.approx(
        velocity - velocity**2 / (2 * 299792.458), abs=0.01
    )


def test_amplitudes_tied_by_3_06_have_fluxes_in_the_ratio_of_wavelengths_too():
    assert pytest.approx(3.06 * 658.346 / 654.804) == IFSCUBE_NII


def test_typical_is_a_percentile_of_the_size_and_nan_without_data():
    assert typical(np.array([-3.0, 1.0, 2.0])) == 2.0
    assert typical(np.array([-4.0, 0.0]), share=100) == 4.0
    assert np.isnan(typical(np.array([])))


@pytest.mark.parametrize(("found", "holds"), [(0.5, True), (2.0, True), (2.1, False)])
def test_a_check_holds_inside_what_was_asked(found, holds):
    assert Check("velocity", found, (0, 2), 5, "km/s").holds is holds


def test_a_check_without_a_number_does_not_hold_unless_nothing_was_asked():
    assert not Check("velocity", np.nan, (0, 2), 0).holds
    assert Check("velocity", np.nan, None, 0).holds


def some_comparisons():
    checks = (
        Check("velocity", 0.123, (0, 1), 12, "km/s"),
        Check("flux, ratio", 0.9, (0.94, 1.02), 9),
        Check("Halpha, ratio", 0.9, None, 9, text="about 0.9"),
    )
    return [
        Comparison("a cube", "a code", "its settings", checks, "A reason."),
        Comparison("another", "a code", "its settings", checks[:1], "A reason."),
    ]


def test_the_markdown_has_a_row_for_every_comparison_and_names_what_was_missed():
    text = markdown(some_comparisons())
    row = next(line for line in text.splitlines() if line.startswith("| a cube"))
    assert row == (
        "| a cube | a code | 12 | velocity: 0.12 km/s (below 1 km/s)"
        "<br>flux, ratio: 0.900 (0.94 to 1.02), **missed**<br>Halpha, ratio: about 0.9 |"
    )
    assert text.endswith("- a cube (a code); another (a code): its settings. A reason.")


def test_the_table_has_a_row_for_every_check():
    table = wide_table(some_comparisons())
    assert table.row_count == 4
    assert list(table.columns[-1].cells) == ["yes", "NO", "", "yes"]
    assert len(reasons(some_comparisons())) == 1


def test_a_folder_without_the_data_is_said_in_one_line(tmp_path, capsys):
    with pytest.raises(InputError, match="has no folder ifu"):
        compare(tmp_path, tmp_path)
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"{tmp_path}: has no folder ifu; give the folder of the real data\n"
    )


def test_the_program_prints_the_data_asked_for(shared_data, capsys):
    assert main([str(shared_data), "--only", "m57", "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert "| M57, SITELLE | ORB | 1 |" in printed
    assert "SAMI" not in printed
