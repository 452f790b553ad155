"""All kernels beside their twins, on a GPU. Without one, the tests beside this one are what there is."""

import pytest

cupy = pytest.importorskip("cupy", reason="needs CuPy and a GPU; test_cuda_sources compiles every kernel without them")


@pytest.fixture(scope="module", autouse=True)
def _gpu() -> None:
    from pyggml_cuda.device import unavailable

    if reason := unavailable():
        pytest.skip(f"needs a GPU: {reason}; test_cuda_sources compiles every kernel without one")


def test_kernels_are_as_exact_as_their_twins() -> None:
    from benchmarks.cuda import attention, kernels

    kernels.check_all()
    attention.check_all()
    assert not kernels.failures
