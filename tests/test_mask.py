import numpy as np
import pytest
from astropy.io import fits

from streamfit.io.errors import InputError
from streamfit.io.mask import read_mask
from streamfit.io.records import CubeHeader, SampledAxis

SKY = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 10.7,
    "CRVAL2": 41.2,
    "CRPIX1": 11.0,
    "CRPIX2": 8.0,
    "CDELT1": -1 / 3600,
    "CDELT2": 1 / 3600,
}


def cube(celestial=None):
    axis = SampledAxis(np.arange(5.0), "air")
    return CubeHeader("cube.fits", "test", (20, 15), axis, celestial=celestial or {})


def disk(x0, y0, radius):
    x, y = np.mgrid[0:20, 0:15]
    return (x - x0) ** 2 + (y - y0) ** 2 < radius**2


def draw(path, text):
    path.write_text("# Region file format: DS9 version 4.1\nglobal color=green\n" + text)
    return path


def refusal(path, header=None):
    with pytest.raises(InputError) as caught:
        read_mask(path, header or cube())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_fits_mask_keeps_nonzero_pixels_x_first(tmp_path):
    image = np.zeros((15, 20), "f4")
    image[3, 7], image[4, 8], image[5, 9] = 1, np.nan, -2
    fits.writeto(tmp_path / "mask.fits", image)
    assert np.argwhere(read_mask(tmp_path / "mask.fits", cube())).tolist() == [[7, 3], [9, 5]]


def test_fits_mask_may_lie_in_an_extension(tmp_path):
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((15, 20), "u1"))])
    hdus.writeto(tmp_path / "mask.fits")
    assert read_mask(tmp_path / "mask.fits", cube()).all()


def test_regions_count_pixels_from_one_as_ds9_does(tmp_path):
    path = draw(tmp_path / "a.reg", "image\ncircle(11,8,4)\n")
    assert np.array_equal(read_mask(path, cube()), disk(10, 7, 4))


def test_regions_add_up_and_excluded_ones_are_cut_out(tmp_path):
    path = draw(tmp_path / "a.reg", "image\ncircle(6,6,3)\ncircle(14,8,4)\n-circle(14,8,2)\n")
    expected = (disk(5, 5, 3) | disk(13, 7, 4)) & ~disk(13, 7, 2)
    assert np.array_equal(read_mask(path, cube()), expected)
    path = draw(tmp_path / "b.reg", "image\n-circle(14,8,2)\n")
    assert np.array_equal(read_mask(path, cube()), ~disk(13, 7, 2))


def test_a_point_keeps_its_spaxel_and_a_text_nothing(tmp_path):
    path = draw(tmp_path / "a.reg", "image\npoint(3,4)\ntext(9,9) # text={here}\n")
    assert np.argwhere(read_mask(path, cube())).tolist() == [[2, 3]]


def test_celestial_regions_follow_the_wcs(tmp_path):
    path = draw(tmp_path / "a.reg", 'icrs\ncircle(10.7,41.2,4.2")\n')
    assert np.array_equal(read_mask(path, cube(SKY)), disk(10, 7, 4.2))
    assert "cube.fits has no celestial WCS" in refusal(path)


def test_what_cannot_be_used_is_named(tmp_path):
    assert "no such file" in refusal(tmp_path / "absent.reg")
    assert "holds 0 regions" in refusal(draw(tmp_path / "a.reg", "image\n"))
    assert '"foo" frame or shape' in refusal(draw(tmp_path / "a.reg", "image\nfoo(1,2,3)\n"))
    assert "keeps none of the 20 x 15" in refusal(
        draw(tmp_path / "a.reg", "image\ncircle(99,99,2)\n")
    )
    (tmp_path / "a.reg").write_bytes(bytes(range(128, 256)))
    assert "neither a FITS image nor DS9 regions" in refusal(tmp_path / "a.reg")
    fits.writeto(tmp_path / "mask.fits", np.ones((20, 15)))
    assert "has 15 x 20 pixels, cube.fits has 20 x 15 spaxels" in refusal(tmp_path / "mask.fits")
    fits.writeto(tmp_path / "mask.fits", np.zeros((15, 20)), overwrite=True)
    assert "keeps none" in refusal(tmp_path / "mask.fits")
    fits.PrimaryHDU().writeto(tmp_path / "mask.fits", overwrite=True)
    assert "holds no image" in refusal(tmp_path / "mask.fits")
    (tmp_path / "mask.fits").write_text("no")
    assert "cannot be read as FITS" in refusal(tmp_path / "mask.fits")
