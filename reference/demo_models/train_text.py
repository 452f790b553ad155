"""Train the text demo model: Qwen2 with 8 layers, 8.3 million weights.

python -m demo_models.train_text --out FOLDER --seconds 420    # reference/ on PYTHONPATH

Processes write an endless stream of new documents, so that hardly any is seen twice. The learning rate follows a cosine
over time: the run ends when it should on any machine.
"""

import argparse
import functools
import json
import os
import time
from pathlib import Path
from random import Random

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch

from demo_models.checkpoint import complete, save_weights
from demo_models.encoder import FastEncoder
from demo_models.feeding import Batch, Feed
from demo_models.learner import Learner, Rates, Schedule, training_device
from demo_models.qwen2vl import Weights
from demo_models.remarks import say
from demo_models.rows import text_rows
from demo_models.shape import Shape
from demo_models.text_evaluation import heldout_loss, task_shares

_SHAPE = Shape(layers=8, tower_layers=0, tower_width=0)
_STEPS_BETWEEN_REMARKS = 200


@functools.cache
def _encoder() -> FastEncoder:
    return FastEncoder()


def make_batch(options: argparse.Namespace, rng: Random) -> Batch:
    """Rows of documents."""
    return {"ids": torch.from_numpy(text_rows(rng, _encoder(), options.n_rows, options.length, "train"))}


def random_weights(shape: Shape, n_tokens: int) -> Weights:
    """Weights to start from."""
    keys = shape.key_heads * shape.head_size
    linear = {"q": (shape.width, shape.width), "k": (keys, shape.width), "v": (keys, shape.width)}
    sizes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (n_tokens, shape.width), "norm.weight": (shape.width,)}
    for layer in range(shape.layers):
        block = f"layers.{layer}."
        for name, size in linear.items():
            sizes |= {f"{block}self_attn.{name}_proj.weight": size, f"{block}self_attn.{name}_proj.bias": size[:1]}
        sizes[f"{block}self_attn.o_proj.weight"] = (shape.width, shape.width)
        for name in ("gate", "up"):
            sizes[f"{block}mlp.{name}_proj.weight"] = (shape.ff_width, shape.width)
        sizes[f"{block}mlp.down_proj.weight"] = (shape.width, shape.ff_width)
        for name in ("input", "post_attention"):
            sizes[f"{block}{name}_layernorm.weight"] = (shape.width,)
    return {f"model.{name}": _random(name, size) for name, size in sizes.items()}


def _random(name: str, size: tuple[int, ...]) -> torch.Tensor:
    if len(size) > 1:
        return torch.randn(size) * 0.02
    return torch.ones(size) if "norm" in name else torch.zeros(size)


def train(options: argparse.Namespace, learner: Learner, feed: Feed) -> None:
    """Learn for the given time."""
    schedule = Schedule(options.n_warmup, decay_from=0.0)
    batch = feed.next()
    began = time.time()
    while (progress := (time.time() - began) / options.seconds) < 1:
        loss = learner.learn(batch, schedule.factor(learner.n_steps, progress))
        batch = feed.next()
        if learner.n_steps % _STEPS_BETWEEN_REMARKS == 0:
            waited = f"waited {feed.seconds_waited:.0f} s"
            say(f"{time.time() - began:4.0f} s, step {learner.n_steps}: loss {loss.item():.4f}, {waited}")
    feed.stop()


def main() -> None:
    """Train, write the checkpoint, and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=420)
    parser.add_argument("--n-processes", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    parser.add_argument("--n-rows", type=int, default=64, help="rows in a batch")
    parser.add_argument("--length", type=int, default=1024, help="tokens in a row")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--n-warmup", type=int, default=300, help="steps")
    parser.add_argument("--n-questions", type=int, default=100, help="held-out questions of each task")
    options = parser.parse_args()
    feed = Feed(functools.partial(make_batch, options), options.n_processes, seed=1)
    device = training_device()
    feed.move_to(device)
    torch.manual_seed(0)
    weights = random_weights(_SHAPE, 1 + _encoder().token_id("<|video_pad|>"))
    rates = Rates(options.rate, options.rate, decay=0.1, with_muon=False)
    learner = Learner(weights, _SHAPE, rates, device, average=0.0)
    train(options, learner, feed)
    save_weights(learner.weights, options.out)
    complete(options.out)
    loss = heldout_loss(learner.weights, _SHAPE, _encoder(), device)
    right = task_shares(learner.weights, _SHAPE, _encoder(), device, options.n_questions)
    say(f"held-out loss {loss:.4f} after {learner.n_steps} steps")
    for name, (n_right, total) in right.items():
        say(f"  {name:16s} {n_right}/{total} = {n_right / total:.2f}")
    report = {"steps": learner.n_steps, "heldout_loss": loss, "right": right}
    (options.out / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
