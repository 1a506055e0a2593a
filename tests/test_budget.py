import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfit.io.errors import InputError
from streamfit.stream.budget import Cost, choose_batch, plan_memory

GIB = 2**30
COST = Cost(batch=3400, work=7000, row=300)


def test_the_batch_follows_from_the_bound_and_the_cube():
    assert choose_batch(2 * GIB, COST, 4_000_000) == 4096
    assert choose_batch(2 * GIB, COST, 4096) == 256
    assert choose_batch(2 * GIB, COST, 10) == 64
    assert choose_batch(GIB // 4, COST, 4_000_000) == 2048


@given(st.integers(2**28, 2**36), st.integers(1, 10**7))
def test_a_larger_bound_never_gives_smaller_batches(limit, spaxels):
    assert choose_batch(2 * limit, COST, spaxels) >= choose_batch(limit, COST, spaxels)


@given(st.integers(2**30, 2**34), st.integers(1, 64), st.sampled_from([64, 256, 1024]))
def test_the_expected_peak_keeps_the_bound(limit, threads, batch):
    budget = plan_memory(limit, 400 * 2**20, COST, batch=batch, threads=threads)
    assert budget.peak <= 0.9 * limit
    assert 1 <= budget.threads <= threads
    assert budget.depth >= 1


def test_the_queue_gives_way_before_the_threads():
    wide = plan_memory(2 * GIB, 0, COST, batch=4096, threads=4)
    assert (wide.threads, wide.depth) == (4, 5)
    tight = plan_memory(int(wide.peak / 0.9) - 2**20, 0, COST, batch=4096, threads=4)
    assert tight.threads == 4
    assert tight.depth < 5
    least = plan_memory(270 * 2**20, 0, COST, batch=4096, threads=4)
    assert least.threads < 4


def test_a_bound_that_is_too_small_names_both_numbers_and_the_cure():
    with pytest.raises(InputError) as caught:
        plan_memory(256 * 2**20, 300 * 2**20, COST, batch=4096, threads=2)
    text = str(caught.value)
    assert "--memory 256MiB is too small" in text
    assert "the program takes 348MiB" in text
    assert "give at least" in text
    assert "\n" not in text


def test_what_the_message_asks_for_is_enough():
    with pytest.raises(InputError) as caught:
        plan_memory(2**20, 300 * 2**20, COST, batch=4096, threads=2)
    least = int(str(caught.value).partition("at least ")[2].partition("MiB")[0])
    assert plan_memory(least * 2**20, 300 * 2**20, COST, batch=4096, threads=2).threads == 1
