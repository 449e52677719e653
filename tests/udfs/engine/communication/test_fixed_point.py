import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from udfs.engine.communication.fixed_point import decode, digit_bits, encode


@settings(deadline=None)
@given(
    st.lists(st.lists(st.floats(0, 2**30), min_size=3, max_size=3), min_size=1, max_size=64),
    st.sampled_from([tf.bfloat16, tf.float16]),
)
def test_sums_of_digits_are_sums_of_numbers(rows, dtype):
    total = tf.zeros((), dtype)
    for row in rows:  # one after the other in 16 bits, as a ring adds
        total = total + encode(tf.constant(row, "float64"), len(rows), dtype)
    found = decode(total, len(rows), "float64").numpy()
    np.testing.assert_allclose(found, np.sum(rows, axis=0), rtol=1e-12, atol=len(rows) * 2**-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_stays_so(bad):
    found = decode(encode(tf.constant([bad, 2.0]), 3, tf.bfloat16), 3, "float32").numpy()
    assert np.isnan(found[0])
    assert found[1] == 2


def test_more_workers_have_smaller_digits():
    assert [digit_bits(workers) for workers in (1, 2, 4, 8, 64, 256, 257)] == [8, 7, 6, 5, 2, 1, 0]
