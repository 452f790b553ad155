"""Make the files of demo-vl inside the package from a checkpoint.

python -m demo_models.package CHECKPOINT src/pyggml/data    # src/, kernels/ and reference/ on PYTHONPATH

They say how large the pictures were that the model learned from, so that larger ones are shrunk to that.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from pyggml.convert import ConvertOptions, plan_conversion
from pyggml.gguf.encoding import number_field
from pyggml.gguf.splitting import write_shards
from pyggml.gguf.values import ValueType

_NAME = "demo-vl"


def package(checkpoint: Path, folder: Path) -> list[Path]:
    """Write both files, in Q8_0; returns their paths."""
    options = ConvertOptions(output_type="Q8_0", name=_NAME)
    text = plan_conversion(checkpoint, folder / f"{_NAME}-q8_0.gguf", options)
    (tower,) = plan_conversion(checkpoint, folder / f"{_NAME}-mmproj-q8_0.gguf", replace(options, is_vision=True))
    sizes = json.loads((checkpoint / "preprocessor_config.json").read_text(encoding="utf-8"))
    limits = {
        f"clip.vision.image_{limit}": number_field(ValueType.UINT32, sizes[limit])
        for limit in ("min_pixels", "max_pixels")
    }
    planned = [*text, replace(tower, metadata={**tower.metadata, **limits})]
    write_shards(planned)
    return [each.path for each in planned]


if __name__ == "__main__":
    for written in package(Path(sys.argv[1]), Path(sys.argv[2])):
        sys.stdout.write(f"{written}: {written.stat().st_size:,} bytes\n")
