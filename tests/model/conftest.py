"""The packaged model in the formats that llama-quantize would make of it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

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
