"""What Hugging Face's transformers makes of pictures, in float32, for tests that have no torch.

python -m pyggml_reference.transformers_vectors tests/data    # reference/ on PYTHONPATH; needs the extra 'transformers'

The weights are those of `random_tower` and `random_model`, made anew by a test from their seeds; a file keeps the
pictures' patches, the tower's vectors, and the logits behind a prompt with two pictures.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_reference.random_model import RandomModel
from pyggml_reference.random_tower import RandomTower
from pyggml_reference.structures import TensorType
from pyggml_reference.transformers_model import IMAGE, TransformersModel, prompt_tokens

#: What the vectors were made of.
TEXT = RandomModel("qwen2vl", sections=(2, 3, 3), n_extra_tokens=3)
TOWERS = {
    "qwen2vl": RandomTower(n_ff=256, tensor_type=TensorType.F32),
    "qwen2_5_vl": RandomTower(is_second=True, tensor_type=TensorType.F32),
}
#: Multiples of 28, which nobody resizes; the last is larger than a window of Qwen2.5-VL in both directions.
SIZES = ((56, 84), (140, 28), (168, 196))
#: Text, a picture, text, another one, text.
TEXTS = ((5, 9, 70, 200), (33, 2), (7, 7, 100))


def picture(width: int, height: int) -> npt.NDArray[np.uint8]:
    """The picture of this size, (height, width, 3)."""
    return np.random.default_rng(1000 * width + height).integers(0, 256, (height, width, 3), np.uint8)


def _vectors(tower: RandomTower) -> dict[str, npt.NDArray[Any]]:
    """All that a test compares with."""
    model = TransformersModel(tower, TEXT)
    seen = [model.see(picture(*size)) for size in SIZES]
    # Patches say the same for all sizes, and take most of the room.
    found: dict[str, npt.NDArray[Any]] = {"patches": seen[0].patches}
    found |= {f"vectors_{index}": each.vectors for index, each in enumerate(seen)}
    shown = seen[0], seen[2]
    tokens = prompt_tokens(TEXTS, [len(each.vectors) for each in shown])
    text = [index for index, token in enumerate(tokens) if token != IMAGE]
    return found | {"logits": model.logits(tokens, shown)[text]}


def main(folder: Path) -> None:
    """Write a file for each kind of tower."""
    for kind, tower in TOWERS.items():
        found = _vectors(tower)
        with (folder / f"transformers_{kind}.npz").open("wb") as file:
            arrays: Any = found
            np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
