import gzip

import numpy as np
import pytest
from astropy.io import fits
from ogip_files import AREA, CHANNEL, CHANNELS, ENERGIES, ENERGY, arf, redistribution, rmf, table

from streamfit.io.errors import InputError
from streamfit.io.ogip_rmf import read_arf, read_response

REAL = {
    "12845.wrmf": "12845.warf",
    "9774.rmf": "9774.arf",
    "acisi_aimpt_cy21.rmf": "acisi_aimpt_cy21.arf",
    "obs1.rmf": "obs1.arf",
    "q1127_bkg1.wrmf": "q1127_bkg1.warf",
    "q1127_src1.wrmf": "q1127_src1.warf",
    "qso.wrmf": "qso.warf",
    "qso_bkg.wrmf": "qso_bkg.warf",
    "sis0.rmf": "sis0.arf",
}


def refused(tmp_path, **options):
    with pytest.raises(InputError) as caught:
        read_response(rmf(tmp_path / "a.rmf", **options), arf(tmp_path / "a.arf"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("layout", ["variable", "fixed", "scalar"])
@pytest.mark.parametrize("first", [0, 1])
def test_every_layout_of_the_matrix_gives_the_same(tmp_path, layout, first):
    path = rmf(tmp_path / "a.rmf", layout=layout, first=first)
    response = read_response(path, arf(tmp_path / "a.arf"))
    np.testing.assert_array_equal(response.matrix.toarray(), redistribution())
    assert response.first_channel == first
    assert response.matrix.nnz < 0.6 * CHANNELS * ENERGIES
    np.testing.assert_allclose(response.energy_low, ENERGY[:-1], rtol=1e-6)
    np.testing.assert_allclose(response.channel_high, CHANNEL[1:], rtol=1e-6)
    np.testing.assert_allclose(response.area, AREA, rtol=1e-6)


@pytest.mark.parametrize("layout", ["variable", "fixed"])
def test_rows_without_groups_are_empty(tmp_path, layout):
    matrix = redistribution()
    matrix[[0, 7, ENERGIES - 1]] = 0.0
    path = rmf(tmp_path / "a.rmf", matrix, layout=layout)
    response = read_response(path, arf(tmp_path / "a.arf"))
    np.testing.assert_array_equal(response.matrix.toarray(), matrix)


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({"tlmin": True, "first": 0, "channel": np.full(CHANNELS, 77)}, 0),
        ({"tlmin": False, "first": 0, "bounds_tlmin": True, "channel": np.full(CHANNELS, 9)}, 0),
        ({"tlmin": False, "first": 0}, 0),
        ({"tlmin": False, "first": 1, "channel": 1.0 + np.arange(CHANNELS)}, 1),
        ({"tlmin": False, "first": 1, "channel": np.full(CHANNELS, -32768)}, 1),
    ],
    ids=["F_CHAN", "EBOUNDS", "channel 0", "float channels", "garbage"],
)
def test_first_channel(tmp_path, options, first):
    response = read_response(rmf(tmp_path / "a.rmf", **options), arf(tmp_path / "a.arf"))
    assert response.first_channel == first
    np.testing.assert_array_equal(response.matrix.toarray(), redistribution())


def test_found_by_name_where_there_are_no_classes(tmp_path):
    path = rmf(tmp_path / "a.rmf", name="SPECRESP MATRIX", HDUCLAS1="x", HDUCLAS2="x")
    found = read_response(path, arf(tmp_path / "a.arf", HDUCLAS1="x"))
    assert found.energies == ENERGIES


def test_descending_energies_are_turned(tmp_path):
    found = read_response(
        rmf(tmp_path / "a.rmf", redistribution()[::-1].copy()[::-1], reverse=True),
        arf(tmp_path / "a.arf", low=ENERGY[:-1][::-1], high=ENERGY[1:][::-1], area=AREA[::-1]),
    )
    assert np.all(np.diff(found.energy_low) > 0)
    np.testing.assert_array_equal(found.matrix.toarray(), redistribution())
    np.testing.assert_allclose(found.area, AREA, rtol=1e-6)


def test_area_in_the_matrix_needs_no_arf(tmp_path):
    full = (redistribution() * AREA[:, None]).astype("f4")
    found = read_response(rmf(tmp_path / "a.rsp", full))
    assert np.all(found.area == 1.0)
    np.testing.assert_array_equal(found.matrix.toarray(), full)
    assert "the matrix holds the area" in found.notes[0]


def test_area_twice_is_refused(tmp_path):
    full = (redistribution() * AREA[:, None]).astype("f4")
    assert "gives one again; give none as the ARF" in refused(tmp_path, matrix=full)


def test_no_area_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.rmf: its rows sum to 1 at most.*give the ARF$"):
        read_response(rmf(tmp_path / "a.rmf"))


def test_square_metres(tmp_path):
    found = read_arf(arf(tmp_path / "a.arf", area=AREA / 1e4, unit="m**2"))
    np.testing.assert_allclose(found.area, AREA, rtol=1e-6)


def test_negative_values_are_told(tmp_path):
    matrix = redistribution()
    matrix[3, 2] = -1e-4
    found = read_response(rmf(tmp_path / "a.rmf", matrix), arf(tmp_path / "a.arf"))
    assert found.matrix.toarray()[3, 2] == 0.0
    assert found.notes == ("a.rmf: 1 negative values of the matrix (to -1.0e-04) set to 0",)


def test_gzipped(tmp_path):
    plain = rmf(tmp_path / "a.rmf")
    packed = tmp_path / "b.rmf.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    found = read_response(packed, arf(tmp_path / "a.arf"))
    np.testing.assert_array_equal(found.matrix.toarray(), redistribution())


def test_read_again_only_when_changed(tmp_path):
    files = rmf(tmp_path / "a.rmf"), arf(tmp_path / "a.arf")
    first = read_response(*files)
    assert read_response(*files) is first
    arf(tmp_path / "a.arf", area=2 * AREA, EXTRA="another length of header" * 2)
    assert read_response(*files).area.max() == pytest.approx(2 * AREA.max())


def test_grids_of_other_lengths_are_refused(tmp_path):
    path = arf(tmp_path / "short.arf", low=ENERGY[:-2], high=ENERGY[1:-1], area=AREA[:-1])
    with pytest.raises(InputError, match=r"short\.arf has 29 energies but a\.rmf has 30; make"):
        read_response(rmf(tmp_path / "a.rmf"), path)


def test_grids_of_other_edges_are_refused(tmp_path):
    path = arf(tmp_path / "off.arf", low=ENERGY[:-1] * 1.01, high=ENERGY[1:] * 1.01)
    with pytest.raises(InputError, match=r"off\.arf has .* keV in row .* but a\.rmf"):
        read_response(rmf(tmp_path / "a.rmf"), path)


def test_grids_that_differ_by_rounding_agree(tmp_path):
    path = arf(tmp_path / "a.arf", low=ENERGY[:-1] * 1.0005, high=ENERGY[1:] * 1.0005)
    assert read_response(rmf(tmp_path / "a.rmf"), path).energies == ENERGIES


def test_lowest_energy_may_be_zero(tmp_path):
    low = np.concatenate([[0.0], ENERGY[1:-1]])
    found = read_response(rmf(tmp_path / "a.rmf", low=low), arf(tmp_path / "a.arf", low=low))
    assert found.energy_low[0] == 0.0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"first": 1, "tlmin": True, "TLMIN4": 5}, "write TLMIN of F_CHAN"),
        ({"low": ENERGY[1:]}, "the energies do not increase"),
        ({"matrix": np.full((ENERGIES, CHANNELS), np.nan)}, "not finite"),
        (
            {"name": "STRANGE", "HDUCLAS1": "x"},
            "not an RMF, it holds STRANGE, EBOUNDS but no MATRIX",
        ),
    ],
)
def test_malformed_matrices_are_refused(tmp_path, options, said):
    assert said in refused(tmp_path, **options)


def test_too_few_values_are_refused(tmp_path):
    path = rmf(tmp_path / "a.rmf", layout="scalar")
    with fits.open(path) as file:
        columns = file["MATRIX"].columns
        short = [columns[name] for name in ("ENERG_LO", "ENERG_HI", "N_GRP", "F_CHAN", "N_CHAN")]
        short.append(fits.Column("MATRIX", "3E", array=np.ones((ENERGIES, 3))))
        hdu = table("MATRIX", short, HDUCLAS1="RESPONSE", HDUCLAS2="RSP_MATRIX", TLMIN4=1)
        fits.HDUList([file[0], hdu, file["EBOUNDS"]]).writeto(tmp_path / "b.rmf")
    with pytest.raises(InputError, match=r"row 1 has 3 values of MATRIX but N_CHAN asks for 24"):
        read_response(tmp_path / "b.rmf", arf(tmp_path / "a.arf"))


def test_two_matrices_are_refused(tmp_path):
    with fits.open(rmf(tmp_path / "a.rmf", layout="scalar")) as file:
        fits.HDUList([file[0], file[1], file[1].copy(), file[2]]).writeto(tmp_path / "b.rmf")
    with pytest.raises(InputError, match="2 MATRIX extensions, not one"):
        read_response(tmp_path / "b.rmf", arf(tmp_path / "a.arf"))


@pytest.mark.parametrize(("value", "said"), [(-1.0, "is -1 in row 4"), (np.nan, "is nan in row 4")])
def test_areas_that_are_none(tmp_path, value, said):
    area = AREA.copy()
    area[3] = value
    with pytest.raises(InputError, match=said):
        read_arf(arf(tmp_path / "a.arf", area=area))


def test_other_units_are_refused(tmp_path):
    with pytest.raises(InputError, match="SPECRESP is in 'barn', not cm"):
        read_arf(arf(tmp_path / "a.arf", unit="barn"))


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"gone\.rmf: cannot be read \(No such file"):
        read_response(tmp_path / "gone.rmf", arf(tmp_path / "a.arf"))


@pytest.mark.parametrize("name", REAL)
def test_real_responses_as_a_plain_loop_reads_them(shared_data, name):
    folder = shared_data / "xray"
    found = read_response(folder / name, folder / REAL[name])
    with fits.open(folder / name) as file:
        data = file["MATRIX"].data
        for row in range(0, len(data), 97):
            expected = np.zeros(found.channels, "f4")
            place = 0
            starts, lengths = np.atleast_1d(data["F_CHAN"][row]), np.atleast_1d(data["N_CHAN"][row])
            for group in range(data["N_GRP"][row]):
                start, length = int(starts[group]) - 1, int(lengths[group])
                expected[start : start + length] = data["MATRIX"][row][place : place + length]
                place += length
            np.testing.assert_array_equal(found.matrix[[row]].toarray()[0], expected)
    assert found.first_channel == 1
    assert found.channels == 1024
    assert found.nbytes < 5e6
