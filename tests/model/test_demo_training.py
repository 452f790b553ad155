"""Training's forward pass is pyggml's, a grown tower computes the same, steps make the loss smaller. Needs torch."""

import io
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyggml
from demo_models.blocks import reading_block, scene_block
from demo_models.package import package
from pyggml.convert import ConvertOptions, plan_conversion
from pyggml.gguf.splitting import write_shards

torch: Any = pytest.importorskip("torch", reason='training is an extra: pip install "pyggml[training]"')
pytest.importorskip("tokenizers", reason='training is an extra: pip install "pyggml[training]"')

from demo_models import checkpoint, learner, learning  # noqa: E402  # they import torch
from demo_models.encoder import FastEncoder  # noqa: E402
from demo_models.evaluation import Result, batch_of, shares  # noqa: E402
from demo_models.growth import doubled_tower, fresh_tower  # noqa: E402
from demo_models.muon import orthogonal  # noqa: E402
from demo_models.qwen2vl import Weights  # noqa: E402
from demo_models.shape import Shape  # noqa: E402
from demo_models.train_text import random_weights  # noqa: E402

SMALL = Shape(layers=2, tower_layers=2, tower_width=64)


@pytest.fixture
def weights() -> Weights:
    torch.manual_seed(0)
    made = random_weights(SMALL, 7936) | fresh_tower(SMALL)
    return {name: value + 0.05 * torch.randn(value.shape) for name, value in made.items()}


@pytest.fixture
def folder(weights: Weights, tmp_path: Path) -> Path:
    checkpoint.save_weights(weights, tmp_path / "checkpoint")
    checkpoint.complete(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_a_checkpoint_comes_back_and_fits_the_package(weights: Weights, folder: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load_weights(folder)
    assert loaded.keys() == weights.keys()
    assert checkpoint.shape_of(loaded) == SMALL
    assert all(torch.equal(loaded[name], value.half().float()) for name, value in weights.items())
    text, tower = package(folder, tmp_path)
    model = pyggml.load(text, mmproj=tower, n_ctx=256)
    assert model.n_ctx == 256


def test_logits_are_those_of_pyggml(folder: Path, tmp_path: Path) -> None:
    for is_vision in (False, True):
        target = tmp_path / f"{'tower' if is_vision else 'text'}.gguf"
        write_shards(plan_conversion(folder, target, ConvertOptions(output_type="F32", is_vision=is_vision)))
    model = pyggml.load(tmp_path / "text.gguf", mmproj=tmp_path / "tower.gguf", n_ctx=256)
    encoder = FastEncoder()
    block = scene_block(Random(3), encoder, 1, grid=(4, 5))
    batch, loaded = batch_of(block), checkpoint.load_weights(folder)
    vectors = learning.picture_vectors(loaded, SMALL, batch)
    assert block.pixels is not None
    theirs = model.look([_png(block.pixels[0])])[0].vectors
    assert np.square(vectors[0].numpy() - theirs).mean() <= 1e-6 * np.square(theirs).mean()
    ids = encoder.encode(["<|im_start|>user\nName three fruits.<|im_end|>\n<|im_start|>assistant\n"])
    hidden = learning.hidden_states(loaded, SMALL, {"ids": torch.tensor(ids)}, None)
    ours = (hidden @ loaded[learning.EMBEDDING].T)[0].numpy()
    logits = model.logits(ids[0])
    assert np.square(ours - logits).mean() <= 1e-6 * np.square(logits).mean()


def _png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_grown_tower_computes_the_same(weights: Weights) -> None:
    batch = batch_of(scene_block(Random(1), FastEncoder(), 2, grid=(4, 4)))
    grown = doubled_tower(weights, 4)
    shape = checkpoint.shape_of(grown)
    assert (shape.tower_width, shape.tower_layers) == (128, 4)
    before = learning.picture_vectors(weights, SMALL, batch)
    after = learning.picture_vectors(grown, shape, batch)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4 * before.abs().max().item())


@pytest.mark.parametrize("size", [(3, 8, 20), (2, 20, 8)])
def test_muon_steps_by_matrices_that_are_nearly_orthogonal(size: tuple[int, ...]) -> None:
    values = torch.linalg.svdvals(orthogonal(torch.randn(size, generator=torch.Generator().manual_seed(1))))
    assert values.min() > 0.5
    assert values.max() < 1.4


@pytest.mark.parametrize("with_muon", [True, False])
def test_steps_make_the_loss_smaller_and_those_not_finite_are_skipped(weights: Weights, *, with_muon: bool) -> None:
    batch = batch_of(reading_block(Random(1), FastEncoder(), 200, 4))
    rates = learner.Rates(2e-3, 2e-3, decay=0.01, with_muon=with_muon)
    learns = learner.Learner(weights, SMALL, rates, torch.device("cpu"), average=0.9)
    losses = [learns.learn(batch, 1.0).item() for _ in range(8)]
    assert losses[-1] < losses[0] - 1
    before = {name: value.clone() for name, value in learns.weights.items()}
    learns.learn(batch | {"colors": batch["colors"].float() * float("nan")}, 1.0)
    assert learns.n_skipped == 1
    assert all(torch.equal(value, before[name]) for name, value in learns.weights.items())


def test_the_rate_rises_and_falls() -> None:
    schedule = learner.Schedule(n_warmup=10, decay_from=0.5, lowest=0.1)
    assert schedule.factor(0, 0.0) == pytest.approx(0.1)
    assert schedule.factor(50, 0.5) == 1
    assert schedule.factor(90, 0.75) == pytest.approx(0.55)
    assert schedule.factor(99, 1.0) == pytest.approx(0.1)
    assert learner.Schedule(1, 1.0).factor(5, 1.0) == 1


def test_reading_is_counted_by_the_size_of_the_font() -> None:
    found = [Result("read word", size, "a", answer) for size, answer in ((12, "a"), (20, "a"), (29, "b"), (40, "a"))]
    assert shares([*found, Result("count", 0, "x", "x")]) == {
        "count": (1, 1),
        "read word 20-29": (1, 2),
        "read word 30+": (1, 1),
        "read word <20": (1, 1),
        "read word, 20 px and more": (2, 3),
    }


def test_answers_end_where_the_model_says_so(weights: Weights) -> None:
    encoder = FastEncoder()
    ids = encoder.encode(["<|im_start|>user\nHello<|im_end|>\n", "Hello"])
    width = max(map(len, ids))
    batch = {
        "ids": torch.tensor([each + [0] * (width - len(each)) for each in ids]),
        "lengths": torch.tensor([len(each) for each in ids]),
    }
    ends = (encoder.token_id("<|im_end|>"), encoder.token_id("<|endoftext|>"))
    together = learning.answers(weights, SMALL, batch, ends, n_most=5)
    for index, each in enumerate(ids):
        alone = {"ids": torch.tensor([each]), "lengths": torch.tensor([len(each)])}
        assert learning.answers(weights, SMALL, alone, ends, n_most=5) == [together[index]]
        assert not set(together[index]) & set(ends)
