"""Accuracy of the text demo model's greedy answers on held-out questions, and its loss on held-out documents."""

from collections import defaultdict
from random import Random
from typing import Any

import torch

from demo_models.chats import END, PAD, Encoder
from demo_models.feeding import Batch
from demo_models.learning import answers, loss_of
from demo_models.mixture import TASKS, chatml, sample
from demo_models.qwen2vl import Weights
from demo_models.rows import text_rows
from demo_models.shape import Shape

#: Tasks whose questions have many right answers.
_INEXACT = (
    *("story_text", "story_chat", "sentences", "zh_story", "identity", "category"),
    *("arithmetic_text", "python_chat", "python_text"),
)
_N_ROWS, _ROW_LENGTH, _N_TOGETHER, _N_ANSWERS = 32, 1024, 8, 256


def heldout_loss(weights: Weights, shape: Shape, encoder: Encoder, device: torch.device) -> float:
    """Mean cross entropy of held-out documents."""
    rows = torch.from_numpy(text_rows(Random(4242), encoder, _N_ROWS, _ROW_LENGTH, "heldout")).to(device)
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
        losses = [loss_of(weights, shape, {"ids": part}).item() for part in rows.split(_N_TOGETHER)]
    return float(sum(losses) / len(losses))


def task_shares(
    weights: Weights, shape: Shape, encoder: Encoder, device: torch.device, n_questions: int
) -> dict[str, tuple[int, int]]:
    """Right answers and questions of each task."""
    cases = [(task, *turn) for task in TASKS if task not in _INEXACT for turn in _questions(task, n_questions)]
    prompts = encoder.encode([chatml(((question, ""),)).rsplit(END, 1)[0] for _, question, _ in cases])
    order = sorted(range(len(cases)), key=lambda index: len(prompts[index]))
    ends = (encoder.token_id(END), encoder.token_id(PAD))
    right: dict[str, list[bool]] = defaultdict(list)
    for start in range(0, len(order), _N_ANSWERS):
        part = order[start : start + _N_ANSWERS]
        batch = _padded([prompts[index] for index in part], ends[-1], device)
        with torch.autocast(device.type, torch.bfloat16):
            found = answers(weights, shape, batch, ends, n_most=96)
        for index, ids in zip(part, found, strict=True):
            task, _, expected = cases[index]
            right[task].append(encoder.decode(ids) == expected)
    return {task: (sum(each), len(each)) for task, each in sorted(right.items())}


def _questions(task: str, n_questions: int) -> list[tuple[str, str]]:
    """Different held-out questions with their answers, as far as there are so many."""
    rng = Random(task)
    found = dict(sample(rng, "heldout", task)[1].turns[0] for _ in range(4 * n_questions))
    return list(found.items())[:n_questions]


def _padded(prompts: list[list[int]], pad: int, device: torch.device) -> Batch:
    width = max(map(len, prompts))
    ids = torch.tensor([prompt + [pad] * (width - len(prompt)) for prompt in prompts], device=device)
    batch: dict[str, Any] = {"ids": ids, "lengths": torch.tensor([len(prompt) for prompt in prompts], device=device)}
    return batch
