"""Random blocks: weights that are finite and spread as those of a model, in every format."""

import numpy as np
import pytest

from benchmarks.random_blocks import random_rows
from pyggml_kernels.formats import FORMATS, Format

N_COLUMNS = 1024


@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda form: form.name)
def test_weights_are_finite_and_of_the_usual_size(form: Format) -> None:
    chunks = list(random_rows(form, 20, N_COLUMNS, np.random.default_rng(1)))
    weights = form.dequantize(np.concatenate(chunks))
    assert weights.size == 20 * N_COLUMNS
    assert np.isfinite(weights).all()
    usual = N_COLUMNS**-0.5
    assert 0.7 * usual < weights.std() < 2.2 * usual
    # The levels of two bits, -1 to 2, have their middle at a half.
    bound = 0.5 if form.name in ("Q2_0", "TQ2_0") else 0.2
    assert abs(weights.mean()) < bound * weights.std()


def test_rows_are_repeated_to_the_right_number() -> None:
    chunks = list(random_rows(FORMATS[8], 600, 64, np.random.default_rng(0)))
    assert [each.shape for each in chunks] == [(256, 68), (256, 68), (88, 68)]
    assert np.array_equal(chunks[0][:88], chunks[2])
    assert len(np.unique(chunks[0], axis=0)) == 256
