"""Accuracy of the vision demo model's greedy answers on held-out pictures, by task and size of the font.

python -m demo_models.evaluation CHECKPOINT    # reference/ on PYTHONPATH; on the last GPU in bfloat16, or on the CPU
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from random import Random

import torch

from demo_models.blocks import Block, Grid, question_block
from demo_models.chats import END, PAD, Encoder
from demo_models.checkpoint import load_weights, shape_of
from demo_models.encoder import FastEncoder
from demo_models.feeding import on_device
from demo_models.learner import training_device
from demo_models.learning import Batch, answers
from demo_models.qwen2vl import Weights
from demo_models.remarks import say
from demo_models.scenes import SceneMixture
from demo_models.shape import Shape

_GRIDS = ((4, 4), (9, 9), (4, 9), (9, 4), (6, 6), (7, 8))
_LARGE = 20  # pixels


@dataclass(frozen=True)
class Result:
    """The answer to a question about a picture with a text of this size, 0 without one."""

    task: str
    size: float
    expected: str
    answer: str

    @property
    def is_right(self) -> bool:
        """Whether the answer is exactly the expected one."""
        return self.answer == self.expected

    @property
    def group(self) -> str:
        """The task, and for reading the range of sizes."""
        if not self.task.startswith("read"):
            return self.task
        return self.task + (" 30+" if self.size >= 30 else " 20-29" if self.size >= _LARGE else " <20")


def _test_block(case: tuple[Grid, int, bool]) -> Block:
    grid, n_pictures, is_reading = case
    mixture = SceneMixture(text_share=1.0 if is_reading else 0.2)
    tasks = "read" if is_reading else ""
    return question_block(Random(str(case)), FastEncoder(), n_pictures, grid, mixture=mixture, tasks=tasks)


def test_blocks(n_pictures: int, n_processes: int) -> list[Block]:
    """Held-out pictures of six sizes: of each twice so many with a text to read, and so many with any question."""
    cases = [(grid, n_pictures * (1 + is_reading), is_reading) for grid in _GRIDS for is_reading in (True, False)]
    with Pool(n_processes) as pool:
        return pool.map(_test_block, cases, chunksize=1)


def batch_of(block: Block) -> Batch:
    """The block's arrays as tensors, and its grid."""
    return {name: torch.from_numpy(values) for name, values in block.arrays().items()} | {"grid": block.grid}


def results(
    weights: Weights, shape: Shape, encoder: Encoder, blocks: Iterable[Block], device: torch.device
) -> list[Result]:
    """The answers to all questions of the blocks."""
    ends = (encoder.token_id(END), encoder.token_id(PAD))
    found = []
    for block in blocks:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            given = answers(weights, shape, on_device(batch_of(block), device), ends)
        for turn, size, ids in zip(block.turns, block.sizes, given, strict=True):
            found.append(Result(turn.task, size, turn.answer, encoder.decode(ids)))
    return found


def tell(counts: dict[str, tuple[int, int]]) -> None:
    """Print the shares."""
    for name, (right, total) in counts.items():
        say(f"  {name:28s} {right}/{total} = {right / max(total, 1):.3f}")


def shares(found: Sequence[Result]) -> dict[str, tuple[int, int]]:
    """Right answers and questions of each group, and of held-out words that are large."""
    groups: dict[str, list[bool]] = defaultdict(list)
    for result in found:
        groups[result.group].append(result.is_right)
    large = [result.is_right for result in found if result.task == "read word" and result.size >= _LARGE]
    groups[f"read word, {_LARGE} px and more"] = large
    return {name: (sum(right), len(right)) for name, right in sorted(groups.items())}


def main(folder: Path) -> None:
    """Evaluate a checkpoint."""
    blocks = test_blocks(n_pictures=64, n_processes=1)
    device = training_device()
    weights = {name: value.to(device) for name, value in load_weights(folder).items()}
    tell(shares(results(weights, shape_of(weights), FastEncoder(), blocks, device)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
