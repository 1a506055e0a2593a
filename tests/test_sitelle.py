import h5py
import numpy as np
import pytest
from sitelle_files import (
    CORR,
    LASER,
    LEVELS,
    ORDER,
    STEP,
    STORAGE,
    axis_ends,
    random_cube,
    write,
)

from streamfit.io.errors import InputError
from streamfit.io.records import Area, BatchKey, FtsAxis
from streamfit.io.sitelle_header import FILTER_BANDS_NM
from streamfit.io.source import CubeSource, open_cube

DTYPES = ("f4", "f8", "c8", "c16", "i2", "i4", "u2", "f2", ">f4", ">f8", ">c8", ">i4")


def read_all(path, **options):
    """The whole cube through the plan of reading, (x, y, channel), and the imaginary part."""
    source = CubeSource(open_cube(path), **options)
    channels = source.header.axis.channels
    real = np.full((*source.shape, channels), np.nan)
    imaginary = np.full_like(real, np.nan)
    seen = np.zeros(source.shape, dtype=int)
    for key in list(source.keys()):
        batch = source.read(key)
        real[batch.x, batch.y] = batch.data
        seen[batch.x, batch.y] += 1
        if batch.imaginary is not None:
            imaginary[batch.x, batch.y] = batch.imaginary
    source.close()
    assert np.all(seen == 1)
    return real, imaginary


def read_rows(path, area):
    reader = open_cube(path)
    batch = reader.read(area, BatchKey("test", 0, len(area)))
    reader.close()
    return batch


def refusal(path):
    """The one line with which a file is refused."""
    with pytest.raises(InputError) as caught:
        open_cube(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("level", LEVELS)
def test_every_level_and_dtype_reads_back_bitwise(tmp_path, level, storage):
    for dtype in DTYPES:
        if level == 3 and np.dtype(dtype).kind != "c":
            continue
        data = random_cube(dtype=dtype)
        changes = {"flambda": None} if level == 3 else {}  # without it counts stay counts
        path = write(tmp_path / f"{dtype}.hdf5", data, level, storage, **changes)
        real, imaginary = read_all(path, batch=50)
        assert np.array_equal(real, np.real(data).astype(np.float64))
        if np.iscomplexobj(data):
            assert np.array_equal(imaginary, np.imag(data).astype(np.float64))


@pytest.mark.parametrize("level", LEVELS)
def test_rows_are_x_slow_and_y_fast_also_across_quadrants(tmp_path, level):
    data = random_cube(dtype="c8")
    path = write(tmp_path / "cube.hdf5", data, level, flambda=None)
    area = Area(2, 9, 3, 12)
    batch = read_rows(path, area)
    assert np.array_equal(batch.data, data.real[2:9, 3:12].reshape(-1, 30))
    assert batch.x[:10].tolist() == [2] * 9 + [3]
    assert batch.y[:10].tolist() == [*range(3, 12), 3]


@pytest.mark.parametrize("vector", [False, True])
def test_level_3_counts_become_flux(tmp_path, vector):
    data = random_cube(dtype="c8")
    flambda = np.linspace(1e-16, 3e-16, 30) if vector else 2e-16
    path = write(tmp_path / "cube.hdf5", data, 3, flambda=flambda)
    real, imaginary = read_all(path)
    expected = data.astype(complex) * flambda / 30 / 13.7
    assert np.allclose(real, expected.real, rtol=1e-6, atol=0)  # single precision
    assert np.allclose(imaginary, expected.imag, rtol=1e-6, atol=0)
    assert open_cube(path).header.unit == "erg/s/cm**2/Angstrom"


def test_level_3_without_flambda_says_that_counts_stay(tmp_path):
    path = write(tmp_path / "cube.hdf5", random_cube(dtype="c8"), 3, flambda=None)
    header = open_cube(path).header
    assert header.unit == "count"
    assert "flambda is missing: the data stay in counts" in header.notes


def test_channels_without_flambda_are_nan(tmp_path):
    flambda = np.full(30, 1e-16)
    flambda[-2:] = np.nan
    path = write(tmp_path / "cube.hdf5", random_cube(dtype="c8"), 3, flambda=flambda)
    real, _ = read_all(path)
    assert np.isnan(real[..., -2:]).all()
    assert np.isfinite(real[..., :-2]).all()
    assert any("2 of 30 channels" in note for note in open_cube(path).header.notes)


@pytest.mark.parametrize(
    ("level", "dtype", "changes", "found"),
    [
        (1, "f4", {}, "level 1"),
        (1, "c8", {}, "level 1"),
        (2, "f4", {}, "level 2,"),
        (2, "f4", {"flambda": 1e-16}, "level 2,"),
        (2, "c8", {"flambda": 1e-16}, "level 3"),
        (3, "c8", {}, "level 3"),
        (2.5, "c8", {}, "level 2.5"),
    ],
)
def test_level_follows_the_attributes(tmp_path, level, dtype, changes, found):
    changes = {name.upper() if level == 1 else name: value for name, value in changes.items()}
    path = write(tmp_path / "cube.hdf5", random_cube(dtype=dtype), level, **changes)
    assert f"SITELLE {found}" in open_cube(path).header.layout


@pytest.mark.parametrize("level", [1, 2])
def test_header_names_axis_filter_and_target(tmp_path, level):
    header = open_cube(write(tmp_path / "cube.hdf5", random_cube(), level)).header
    assert header.axis == FtsAxis(30, STEP, ORDER, 30, 6, CORR, True, 1.0)
    assert header.filter_name == "SN3"
    assert header.target == ("NGC6946" if level == 1 else "M1")
    assert header.instrument == "SITELLE"
    low, high = FILTER_BANDS_NM["SN3"]
    assert header.band == (1e7 / high, 1e7 / low)


def test_band_of_the_file_wins_over_the_table(tmp_path):
    path = write(
        tmp_path / "cube.hdf5", random_cube(), filter_cm1_min=14598.5, filter_cm1_max=15439.2
    )
    assert open_cube(path).header.band == (14598.5, 15439.2)


@pytest.mark.parametrize("name", ["SN3", "/data/filter_SN3.hdf5", "C:\\orb\\filter_SN3.hdf5"])
def test_filter_is_found_in_a_path(tmp_path, name):
    path = write(tmp_path / "cube.hdf5", random_cube(), filter_name=name)
    assert open_cube(path).header.filter_name == "SN3"


def test_unknown_filter_leaves_no_band_and_says_so(tmp_path):
    header = open_cube(write(tmp_path / "cube.hdf5", random_cube(), filter_name="X9")).header
    assert header.band is None
    assert any("'X9' is not a known one" in note for note in header.notes)


def test_laser_map_gives_each_spaxel_its_correction(tmp_path):
    calib = LASER * np.linspace(1.02, 1.06, 11 * 13).reshape(11, 13)
    calib[0, :3] = 0, np.nan, -1
    path = write(tmp_path / "cube.hdf5", random_cube(), datasets={"calib_map": calib})
    batch = read_rows(path, Area(0, 11, 0, 13))
    assert np.isnan(batch.corr[:3]).all()
    assert np.array_equal(batch.corr[3:], calib.ravel()[3:] / LASER)


def test_without_a_laser_map_the_common_correction_stands_for_all(tmp_path):
    path = write(tmp_path / "cube.hdf5", random_cube())
    assert np.all(read_rows(path, Area(0, 11, 0, 13)).corr == CORR)
    assert any("no calib_map" in note for note in open_cube(path).header.notes)


def test_calibration_is_told_by_the_attribute_then_by_axis_corr(tmp_path):
    data, calib = random_cube(), np.full((11, 13), LASER * 1.05)
    told = open_cube(write(tmp_path / "a.hdf5", data, wavenumber_calibration=False)).header
    assert not told.axis.calibrated
    assert open_cube(write(tmp_path / "b.hdf5", data, 1)).header.axis.calibrated
    path = write(tmp_path / "c.hdf5", data, 1, datasets={"calib_map": calib}, AXISCORR=None)
    header = open_cube(path).header
    assert not header.axis.calibrated
    assert header.axis.axis_corr == pytest.approx(1.05)


def test_missing_axis_corr_follows_from_what_the_file_says_of_its_axis(tmp_path):
    first, last = axis_ends(30)
    axis = np.linspace(first, last, 30)
    for number, (datasets, changes) in enumerate(
        [({}, {"axis_min": first, "axis_max": last}), ({"axis": axis}, {})]
    ):
        path = tmp_path / f"{number}.hdf5"
        write(path, random_cube(), datasets=datasets, axis_corr=None, **changes)
        assert open_cube(path).header.axis.axis_corr == pytest.approx(CORR, rel=1e-12)


def test_mask_multiplies_and_zero_is_nan(tmp_path):
    data, mask = random_cube(dtype="c8"), np.ones((11, 13), dtype="f4")
    mask[2, 3], mask[4, 5], mask[6, 7] = 0, np.nan, 0.5
    real, imaginary = read_all(write(tmp_path / "cube.hdf5", data, datasets={"mask": mask}))
    assert np.isnan(real[2, 3]).all()
    assert np.isnan(imaginary[4, 5]).all()
    assert np.array_equal(real[6, 7], data.real[6, 7] / 2)
    assert np.isfinite(real).sum() == 30 * (11 * 13 - 2)


def test_an_imaginary_part_of_zeros_is_not_offered(tmp_path):
    path = write(tmp_path / "cube.hdf5", random_cube().astype("c8"))
    header = open_cube(path).header
    assert not header.has_imaginary
    assert read_rows(path, Area(0, 2, 0, 2)).imaginary is None
    assert "the imaginary part is zero and not used" in header.notes


def test_celestial_cards_come_from_attributes_and_rows(tmp_path):
    sky = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": 10.7, "CRVAL2": 41.2}
    sky |= {"CRPIX1": 5.5, "CRPIX2": 6.5, "A_ORDER": 2, "A_2_0": 1e-6}
    for level in (1, 2):
        header = open_cube(write(tmp_path / f"{level}.hdf5", random_cube(), level, **sky)).header
        assert header.celestial == sky


def test_nan_and_zero_spaxels_among_good_ones_are_kept(tmp_path):
    data = np.zeros((11, 13, 30), dtype="f4")
    data[:5] = np.nan
    data[10, 12] = 1.0  # none of the spaxels looked at first
    real, _ = read_all(write(tmp_path / "cube.hdf5", data))
    assert np.array_equal(real, data, equal_nan=True)


def test_real_spectra_of_orb_are_cubes_of_one_spaxel(shared_data):
    m57 = open_cube(shared_data / "sitelle" / "m57_spectrum0.hdf5")
    assert m57.header.shape == (1, 1)
    assert m57.header.unit == "erg/s/cm**2/Angstrom"
    assert not m57.header.has_imaginary
    spectrum = m57.read(Area(0, 1, 0, 1), BatchKey("m57", 0, 1)).data[0]
    assert spectrum.max() == pytest.approx(4.5485e-17, rel=1e-4)  # ORB's file, flux units
    m31 = open_cube(shared_data / "sitelle" / "m31_spectrum0.hdf5")
    batch = m31.read(Area(0, 1, 0, 1), BatchKey("m31", 0, 1))
    assert m31.header.axis.zpd_index == 168
    assert m31.header.filter_name == "SN3"
    assert batch.corr[0] == 1.0374712062298757  # attribute calib_coeff_orig
    with h5py.File(shared_data / "sitelle" / "m31_spectrum0.hdf5") as file:
        counts, flambda = file["data"][:], file.attrs["flambda"]
    expected = (counts * flambda / 840 / 13.7).real
    assert np.allclose(batch.data[0], expected, rtol=1e-12, equal_nan=True)
    assert batch.imaginary is not None


def change(path, **attributes):
    with h5py.File(path, "a") as file:
        for name, value in attributes.items():
            if value is None:
                del file.attrs[name]
            else:
                file.attrs[name] = value
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"step": None}, "attribute step (level 1: STEP) is missing; set it"),
        ({"zpd_index": None}, "attribute zpd_index (level 1: ZPDINDEX) is missing"),
        ({"order": 8.5}, "attribute order is 8.5, not a whole number"),
        ({"step": "long"}, "attribute step is 'long', not a number"),
        ({"step": -1.0}, "step is -1 nm"),
        ({"zpd_index": 30}, "zpd_index is 30 but step_nb is 30"),
        ({"axis_corr": 10.37}, "axis_corr is 10.37"),
        ({"order": 9}, "the filter passes 14599 to 15439 cm-1 but the axis runs from 15922"),
        ({"axis_min": 14000.0, "axis_max": 15800.0}, "axis_min is 14000.000 cm-1 but step"),
        ({"wavetype": "WAVELENGTH"}, "wavetype is WAVELENGTH"),
        (
            {"filter_cm1_min": -1.0, "filter_cm1_max": 5.0},
            "filter_cm1_min and filter_cm1_max are -1 and 5; a filter",
        ),
        ({"axis_corr": None}, "attribute axis_corr (level 1: AXISCORR) is missing"),
    ],
)
def test_wrong_attributes_are_named(tmp_path, changes, said):
    path = change(write(tmp_path / "cube.hdf5", random_cube()), **changes)
    assert refusal(path).startswith(f"cube.hdf5: {said}")


@pytest.mark.parametrize(
    ("datasets", "said"),
    [
        ({"axis": np.linspace(14e3, 15e3, 28)}, "data have 30 channels but axis has 28"),
        ({"axis": np.linspace(14e3, 15e3, 30)}, "axis begins 14000.000 cm-1 but step"),
        ({"calib_map": np.ones((13, 11))}, "calib_map is 13 x 11 but the cube has 11 x 13"),
        ({"calib_map": np.full((11, 13), 15.4)}, "calib_map has median 15.4 but the laser 543.5"),
        ({"mask": np.ones((5, 5))}, "mask is 5 x 5 but the cube has 11 x 13 spaxels"),
        ({"mask": np.zeros((11, 13))}, "mask is zero for all 143 spaxels"),
        ({"deep_frame": np.ones((5, 5))}, "deep_frame is 5 x 5 but the cube has 11 x 13"),
    ],
)
def test_datasets_that_disagree_are_named(tmp_path, datasets, said):
    path = write(tmp_path / "cube.hdf5", random_cube(), datasets=datasets)
    assert refusal(path).startswith(f"cube.hdf5: {said}")


@pytest.mark.parametrize("value", [0.0, np.nan])
@pytest.mark.parametrize("storage", ["contiguous", "chunked", "gzip"])
def test_a_cube_without_signal_is_refused(tmp_path, value, storage):
    path = write(tmp_path / "cube.hdf5", np.full((11, 13, 30), value, "f4"), storage=storage)
    assert refusal(path).startswith("cube.hdf5: all 11 x 13 spectra are zero or NaN")


def test_level_3_with_impossible_calibration_is_refused(tmp_path):
    data = random_cube(dtype="c8")
    path = write(tmp_path / "cube.hdf5", data, 3, flambda=np.ones(7))
    assert "flambda has 7 values but the data 30 channels" in refusal(path)
    path = write(tmp_path / "cube.hdf5", data, 3, flambda=0.0)
    assert "0 of 1 values of flambda are positive" in refusal(path)
    path = write(tmp_path / "cube.hdf5", data, 3, exposure_time=None)
    assert "attribute exposure_time (level 1: EXPTIME) is missing" in refusal(path)


def test_quadrants_that_disagree_are_named(tmp_path):
    path = write(tmp_path / "cube.hdf5", random_cube(), 1)
    with h5py.File(path, "a") as file:
        del file["quad004/data"]
        file["quad004/data"] = np.ones((3, 3, 30), "f4")
    assert "quad004/data is 3 x 3 x 30 but dimx, dimy, dimz and quad_nb make it 3 x 4 x 30" in (
        refusal(path)
    )
    with h5py.File(path, "a") as file:
        del file["quad004/data"]
        file["quad004/data"] = np.ones((3, 4, 30), "f8")
    assert "quadrants are stored as float32 and as float64" in refusal(path)
    with h5py.File(path, "a") as file:
        del file["quad004"]
    assert "quad004/data is missing but quad_nb is 9" in refusal(path)
    assert "quad_nb is 8 for 11 x 13 spaxels" in refusal(change(path, quad_nb=8))
    assert "attribute quad_nb" in refusal(change(path, quad_nb=None))


def test_hdf5_that_is_not_a_cube_says_what_it_holds(tmp_path):
    path = tmp_path / "cube.hdf5"
    for content, said in (
        ({}, "holds nothing, but neither data nor quad000"),
        ({"image": np.ones(3)}, "holds image, but neither data nor quad000"),
        ({"frame00000/data": np.ones((3, 3))}, "an interferogram cube"),
        ({"data": np.ones((3, 3))}, "data have 2 dimensions (3 x 3), a cube has 3"),
        ({"data": np.array([[[b"a", b"b"]]])}, "/data holds |S1, not real or complex numbers"),
        ({"data": np.ones((3, 0, 5))}, "/data is 3 x 0 x 5, at least one spaxel"),
    ):
        with h5py.File(path, "w") as file:
            for name, values in content.items():
                file[name] = values
        assert said in refusal(path)


def test_damaged_files_are_told_apart(tmp_path):
    path = write(tmp_path / "cube.hdf5", random_cube(shape=(20, 20, 100)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert f"cut short, {len(whole) // 2} of {len(whole)} bytes are there" in refusal(path)
    path.write_bytes(whole[:8] + bytes(len(whole) - 8))
    assert "HDF5 cannot open it" in refusal(path)
    path.write_bytes(b"")
    assert "it has 0 bytes and begins with b''" in refusal(path)
    path.write_text("not a cube")
    assert "neither HDF5 nor FITS (it has 10 bytes" in refusal(path)
    assert "no such file" in refusal(tmp_path / "absent.hdf5")
    assert "a folder" in refusal(tmp_path)


def test_identity_changes_with_header_first_and_last_block_and_size(tmp_path):
    data = random_cube()
    path = write(tmp_path / "cube.hdf5", data)

    def identity():
        reader = open_cube(path)
        found = reader.fingerprint()
        reader.close()
        return found

    before = identity()
    assert identity() == before
    for where, name in (((0, 0, 0), "first_block"), ((-1, -1, -1), "last_block")):
        changed = data.copy()
        changed[where] += 1
        write(path, changed)
        after = identity()
        assert after[name] != before[name]
        assert after["header"] == before["header"]
    write(path, data, step=STEP + 1e-6)
    after = identity()
    assert after["header"] != before["header"]
    assert after["first_block"] == before["first_block"]
    write(path, random_cube(shape=(11, 13, 31)), step_nb=30)
    assert identity()["size"] != before["size"]
