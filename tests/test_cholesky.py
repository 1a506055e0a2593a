import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfit.kernels.cholesky import backward, factor, forward, invert, recover


def positive(size: int, seed: int, condition: float = 1e3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.standard_normal((size, size)))[0]
    return axes * np.geomspace(1, condition, size) @ axes.T


def test_a_factor_worked_by_hand():
    matrix = np.array([[4.0, np.nan], [6.0, 25.0]])  # the upper triangle is not read
    assert factor(matrix, 2)
    assert matrix[0, 0] == 1 / 2.0  # the diagonal holds reciprocals
    assert matrix[1, 0] == 3.0
    assert matrix[1, 1] == 1 / 4.0


@settings(deadline=None)  # the first example compiles
@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_factor_and_solves_agree_with_lapack(size, seed):
    matrix, right = positive(size, seed), np.random.default_rng(seed).standard_normal(size)
    factored, z = matrix.copy(), right.copy()
    assert factor(factored, size)
    lower = np.tril(factored)
    np.fill_diagonal(lower, 1 / np.diagonal(factored))
    # Both are backward stable: errors are eps times the condition number.
    np.testing.assert_allclose(lower, np.linalg.cholesky(matrix), rtol=0, atol=1e-10)
    forward(factored, size, z)
    np.testing.assert_allclose(lower @ z, right, rtol=0, atol=1e-11)
    backward(factored, size, z)
    np.testing.assert_allclose(matrix @ z, right, rtol=0, atol=1e-10)


def test_a_factor_gives_back_its_matrix_and_what_was_solved():
    matrix, right = positive(5, 3), np.random.default_rng(3).standard_normal(5)
    lower, z, product, gram = matrix.copy(), right.copy(), np.empty(5), np.zeros((5, 5))
    assert factor(lower, 5)
    forward(lower, 5, z)
    recover(lower, 5, z, product, gram)
    np.testing.assert_allclose(gram, np.tril(matrix), rtol=0, atol=1e-11)
    np.testing.assert_allclose(product, right, rtol=0, atol=1e-11)


def test_an_inverse_agrees_with_lapack():
    matrix, inverse = positive(5, 4), np.empty((5, 5))
    lower = matrix.copy()
    assert factor(lower, 5)
    invert(lower, 5, inverse)
    np.testing.assert_allclose(inverse, np.linalg.inv(matrix), rtol=0, atol=1e-11)


def test_only_the_leading_rows_are_used():
    matrix = positive(5, 1)
    matrix[3:] = np.nan
    assert factor(matrix, 3)
    assert np.isnan(matrix[3:]).all()


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((2, 2)),
        np.array([[1.0, 0.0], [2.0, 1.0]]),  # indefinite
        np.array([[1.0, 0.0], [1.0, 1.0]]),  # of rank one
        np.array([[1.0, 0.0], [1.0, 1.0 + 1e-14]]),  # of rank one to rounding
        np.array([[np.nan, 0.0], [1.0, 2.0]]),
        np.array([[1.0, 0.0], [np.nan, 2.0]]),
        np.diag([1.0, -1.0]),
    ],
)
def test_what_is_not_positive_is_refused(matrix):
    assert not factor(matrix, len(matrix))


def test_scale_does_not_decide_what_is_positive():
    for scale in (1e-40, 1e40):
        assert factor(scale * positive(4, 2), 4)
