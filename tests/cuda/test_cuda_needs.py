"""What is counted without a GPU is what the backend takes of one."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings")

from pyggml.backend.counting import CountingGPU
from pyggml.backend.cuda import CUDABackend
from pyggml.errors import DeviceMemoryError
from pyggml_kernels.formats import FORMATS, Format
from tests.cuda.fake_device import FakeDevice


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    fake = FakeDevice()
    fake.install(monkeypatch)
    return fake


@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda form: form.name)
@pytest.mark.parametrize(("n_rows", "n_columns"), [(16, 256), (3, 512), (50, 768)])
def test_a_matrix(device: FakeDevice, form: Format, n_rows: int, n_columns: int) -> None:
    data = np.zeros(n_rows * n_columns // form.block_size * form.block_bytes, np.uint8)
    weight = CUDABackend(1, 1).matrix(data, form.type_id, n_rows, n_columns)
    counting = CountingGPU(FORMATS)
    counting.matrix(data, form.type_id, n_rows, n_columns)
    assert counting.n_bytes == weight.memory.size


def test_full_memory(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: Any) -> None:
        raise MemoryError(f"out of memory allocating {data.nbytes} bytes")

    monkeypatch.setattr("pyggml_cuda.device.upload", refuse)
    with pytest.raises(DeviceMemoryError, match=r"memory is full: no room for a vector of 64 \(out of memory"):
        CUDABackend(1, 1).vector(np.zeros(256, np.uint8), 0, 64)
