"""The model inside the package that sees: its two files fit, and it answers questions about held-out pictures."""

import io
from collections import Counter
from random import Random

import pytest
from PIL import Image

import pyggml
from demo_models.questions import questions
from demo_models.scenes import SceneMixture, draw_scene
from pyggml.package_data import demo_mmproj, demo_model

#: Tasks that it does well; it reads few words, and mistakes one position in ten.
TASKS = ("background", "zh background", "count", "color", "zh color", "what is this", "zh what", "text color")
GREEDY = pyggml.SamplingOptions(temperature=0.0)


@pytest.fixture(scope="module")
def model() -> pyggml.Model:
    return pyggml.load(demo_model("demo-vl"), mmproj=demo_mmproj(), n_ctx=512)


def answer(model: pyggml.Model, question: str, picture: Image.Image) -> str:
    message = {"role": "user", "content": question}
    events = model.chat([message], chat_template="chatml", images=[png(picture)], sampling=GREEDY)
    return "".join(event.text for event in events if isinstance(event, pyggml.TextEvent))


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_questions_about_held_out_pictures_are_answered_right(model: pyggml.Model) -> None:
    rng = Random(11)
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for _ in range(24):
        picture, scene = draw_scene(rng, 168, 140, "heldout", SceneMixture(text_share=0.2))
        for turn in [turn for turn in questions(rng, scene) if turn.task in TASKS][:3]:
            total[turn.task] += 1
            right[turn.task] += answer(model, turn.question, picture) == turn.answer
    assert set(total) == set(TASKS)
    assert right.total() >= 0.95 * total.total(), (right, total)


def test_large_pictures_are_shrunk_to_what_it_learned_from(model: pyggml.Model) -> None:
    picture, scene = draw_scene(Random(4), 252, 252, "heldout", SceneMixture(text_share=0.0))
    large = picture.resize((1500, 1500), Image.Resampling.LANCZOS)
    assert 64 <= model.look([png(large)])[0].n_tokens <= 81
    assert answer(model, "What color is the background?", large) == f"The background is {scene.background}."


def test_it_talks_without_pictures(model: pyggml.Model) -> None:
    events = model.chat([{"role": "user", "content": "What is 37 + 48?"}], sampling=GREEDY)
    text = "".join(event.text for event in events if isinstance(event, pyggml.TextEvent))
    assert text == "37 + 48 = 85"
