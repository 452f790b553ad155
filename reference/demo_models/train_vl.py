"""Train the vision demo model, or go on training it.

python -m demo_models.train_vl --start FOLDER --out FOLDER --seconds 300    # reference/ on PYTHONPATH

FOLDER is a checkpoint of the text demo model, which gets a new tower, or of the vision one. Processes draw pictures,
most of them with one text each, and write conversations about them; rows of text keep the text skills alive. The
learning rate stays where it is unless --decay-from says when it falls: for the last of several runs.
"""

import argparse
import functools
import json
import os
import time
from pathlib import Path
from random import Random
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch

from demo_models.blocks import Block, reading_block, scene_block
from demo_models.checkpoint import complete, load_weights, save_weights, shape_of
from demo_models.encoder import FastEncoder
from demo_models.evaluation import batch_of, results, shares, tell, test_blocks
from demo_models.feeding import Batch, Feed
from demo_models.growth import doubled_tower, fresh_tower
from demo_models.learner import Learner, Rates, Schedule, training_device
from demo_models.qwen2vl import Weights
from demo_models.remarks import say
from demo_models.rows import text_rows
from demo_models.shape import Shape

_SECONDS_BETWEEN_REMARKS = 15.0
#: Layers of the text demo model that the vision one starts from, so that it stays small.
_LAYERS = (0, 1, 2, 3, 6, 7)


@functools.cache
def _encoder() -> FastEncoder:
    return FastEncoder()


def make_batch(options: argparse.Namespace, rng: Random) -> Batch:
    """A batch of one kind, drawn by the shares of the kinds."""
    kind = rng.random()
    if kind < options.texts:
        return {"ids": torch.from_numpy(text_rows(rng, _encoder(), options.n_rows, 512, "train"))}
    if kind < options.texts + options.scenes:
        return batch_of(scene_block(rng, _encoder(), options.n_scenes))
    return batch_of(reading_block(rng, _encoder(), options.n_patches, options.n_most))


def starting_weights(folder: Path) -> Weights:
    """The weights to start from, with a tower as wide and deep as it should be."""
    weights, shape = load_weights(folder), Shape()
    found = shape_of(weights)
    if not found.tower_layers:
        return _fewer_layers(weights) | fresh_tower(shape)
    return doubled_tower(weights, shape.tower_layers) if found.tower_width < shape.tower_width else weights


def _fewer_layers(weights: Weights) -> Weights:
    kept = {}
    for name, value in weights.items():
        parts = name.split(".")
        if parts[1] == "layers":
            if int(parts[2]) not in _LAYERS:
                continue
            parts[2] = str(_LAYERS.index(int(parts[2])))
        kept[".".join(parts)] = value
    return kept


def train(options: argparse.Namespace, learner: Learner, feed: Feed) -> dict[str, Any]:
    """Learn for the given time, saving now and then; returns what there is to report."""
    schedule = Schedule(options.n_warmup, options.decay_from)
    batch = feed.next()
    began = saved = told = time.time()
    step = n_pictures = 0
    losses = []
    while (progress := (time.time() - began) / options.seconds) < 1:
        loss = learner.learn(batch, schedule.factor(step, progress))
        step += 1
        if "grid" in batch:
            n_pictures += len(batch["ids"])
        if "coverage" in batch:
            losses.append(loss)
        batch = feed.next()
        now = time.time()
        if now - told >= _SECONDS_BETWEEN_REMARKS and losses:
            told = now
            mean = torch.stack(losses[-100:]).mean().item()
            say(
                f"{now - began:4.0f} s, step {step}: reading loss {mean:.4f}, {n_pictures} pictures, waited"
                f" {feed.seconds_waited:.0f} s, batches {feed.n_fresh} + {feed.n_repeated} again,"
                f" skipped {learner.n_skipped}"
            )
        if now - saved >= options.save_every:
            saved = now
            save_weights(learner.average, options.out)
    feed.stop()
    save_weights(learner.average, options.out)
    seconds = time.time() - began
    say(f"trained {step} steps on {n_pictures} pictures in {seconds:.0f} s")
    return {"seconds": seconds, "steps": step, "pictures": n_pictures, "repeated": feed.n_repeated}


def report(options: argparse.Namespace, learner: Learner, blocks: list[Block], facts: dict[str, Any]) -> None:
    """Evaluate, tell, and write report.json."""
    found = results(learner.average, learner.shape, _encoder(), blocks, learner.device)
    counts = shares(found)
    tell(counts)
    wrong = [vars(result) for result in found if not result.is_right][:200]
    path = options.out / "report.json"
    path.write_text(json.dumps(facts | {"right": counts, "wrong": wrong}, indent=1, ensure_ascii=False), "utf-8")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--n-processes", type=int, default=max(1, min(12, (os.cpu_count() or 2) - 3)))
    parser.add_argument("--scenes", type=float, default=0.25, help="share of batches with whole scenes")
    parser.add_argument("--texts", type=float, default=0.04, help="share of batches of text alone")
    parser.add_argument("--n-patches", type=int, default=32768, help="patches in a batch of texts to read")
    parser.add_argument("--n-most", type=int, default=1024, help="pictures in such a batch at most")
    parser.add_argument("--n-scenes", type=int, default=256, help="scenes in a batch")
    parser.add_argument("--n-rows", type=int, default=48, help="rows in a batch of text alone")
    parser.add_argument("--rate", type=float, default=8e-4, help="learning rate of the language model")
    parser.add_argument("--tower-rate", type=float, default=1.2e-3)
    parser.add_argument("--n-warmup", type=int, default=100, help="steps")
    parser.add_argument("--decay-from", type=float, default=1.0, help="share of the time after which the rate falls")
    parser.add_argument("--average", type=float, default=0.995, help="what the average keeps at each step")
    parser.add_argument("--save-every", type=float, default=60, help="seconds")
    parser.add_argument("--n-tests", type=int, default=64, help="held-out pictures of each of twelve kinds")
    parser.add_argument("--weights-only", action="store_true", help="leave config.json and the tokenizer out")
    return parser.parse_args()


def main() -> None:
    """Train, evaluate, and write the checkpoint."""
    options = read_options()
    options.out.mkdir(parents=True, exist_ok=True)
    seed = int(time.time()) % 100000
    feed = Feed(functools.partial(make_batch, options), options.n_processes, seed)
    blocks = test_blocks(options.n_tests, options.n_processes)
    device = training_device()
    torch.manual_seed(seed)
    feed.move_to(device)
    weights = starting_weights(options.start)
    rates = Rates(options.rate, options.tower_rate, decay=0.01, with_muon=True)
    learner = Learner(weights, shape_of(weights), rates, device, options.average)
    say(f"{sum(value.numel() for value in weights.values()):,} weights on {device}")
    facts = train(options, learner, feed)
    report(options, learner, blocks, facts)
    if not options.weights_only:
        complete(options.out)


if __name__ == "__main__":
    main()
