"""Corner plots: what is drawn where."""

import numpy as np
from matplotlib.colors import to_hex

from streamfit.stream.corner import draw_corner
from streamfit.stream.sheet import blank_page
from streamfit.stream.spectrum import MODEL

DRAWS = np.random.default_rng(0).normal([5.0, 2e-13], [0.5, 1e-14], (2000, 2))


def test_a_fit_is_marked_and_its_missing_parameters_are_not():
    figure = blank_page(4, 4)
    draw_corner(figure, {"": DRAWS}, ["kT [keV]", "norm"], fit=np.array([5.1, np.nan]))
    marks = [
        line.get_xdata()[0]
        for line in figure.axes[0].get_lines()
        if to_hex(line.get_color()) == MODEL
    ]
    assert marks == [5.1]
    assert not [line for line in figure.axes[3].get_lines() if to_hex(line.get_color()) == MODEL]
    assert figure.axes[2].get_xlabel() == "kT [keV]"
    assert figure.axes[2].get_ylabel() == "norm"
    assert not figure.legends


def test_several_are_told_apart_and_share_their_range():
    figure = blank_page(4, 4)
    draw_corner(figure, {"prior mdn": DRAWS, "prior flat": DRAWS + np.array([3.0, 0])}, ["a", "b"])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["prior mdn", "prior flat"]
    low, high = figure.axes[0].get_xlim()
    assert low < 4.0
    assert high > 9.0


def test_draws_that_are_all_alike_are_drawn():
    draw_corner(blank_page(4, 4), {"": np.ones((50, 2))}, ["a", "b"])
