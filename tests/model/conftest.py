"""The packaged model: in the formats that llama-quantize would make of it, and behind a scheduler."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import pyggml
from pyggml.engine import Scheduler, SchedulerOptions
from pyggml.model import Model
from pyggml.package_data import demo_model
from pyggml_reference.files import quantize_model


@pytest.fixture(scope="session")
def demo_files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Files by type: demo-text as it comes in the package, and requantized from that by the oracle."""
    folder = tmp_path_factory.mktemp("demo")
    files = {"Q8_0": demo_model()}
    for file_type in ("F16", "Q4_K_M", "Q3_K_M"):
        files[file_type] = folder / f"demo-{file_type}.gguf"
        quantize_model(demo_model(), files[file_type], file_type)
    return files


@pytest.fixture(scope="module")
def model() -> Model:
    """A cache for four full contexts."""
    return pyggml.load(demo_model(), n_ctx=256, n_cache=1024, n_sequences=4, n_ubatch=32)


@pytest.fixture
def scheduler(model: Model) -> Iterator[Scheduler]:
    """Four slots; at the end no page of the cache may be lost."""
    scheduler = Scheduler(model.engine, model.tokenizer, SchedulerOptions(n_slots=4, n_queue=8))
    scheduler.start()
    yield scheduler
    scheduler.stop(0)
    scheduler.forget_all()
    assert model.engine.pool.n_free == 1024 // 64
