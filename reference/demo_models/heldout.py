"""Write held-out material: a text for perplexity, and pictures with questions and answers.

python -m demo_models.heldout FOLDER    # reference/ on PYTHONPATH
"""

import json
import sys
from pathlib import Path
from random import Random

from PIL import Image

from demo_models.documents import Turn
from demo_models.drawing import ICONS, SHAPES
from demo_models.mixture import sample
from demo_models.questions import questions
from demo_models.scenes import UNIT, Scene, draw_scene

_TEXT_TASKS = {"story_text": 9, "sentences": 4, "zh_story": 3, "python_text": 2, "arithmetic_text": 1}
_N_BYTES = 200_000
#: What each picture shows: how many items, and what is to be read.
_WANTED = (
    ("one shape", 1, None),
    ("one shape", 1, None),
    ("two items", 2, None),
    ("two items", 2, None),
    ("three items", 3, None),
    ("icon", 1, None),
    ("icon", 1, None),
    ("word", 0, "word"),
    ("word", 0, "word"),
    ("number", 0, "number"),
    ("letters", 0, "letters"),
    ("word and item", 1, "word"),
)
_FIRST = ("describe", "read word", "read number", "read letters"), ("zh describe", "zh read")
_N_QUESTIONS = 6


def heldout_text(n_bytes: int = _N_BYTES) -> str:
    """Held-out documents of at least so many bytes."""
    rng = Random(20240601)
    parts: list[str] = []
    length = 0
    while length < n_bytes:
        name = rng.choices(list(_TEXT_TASKS), list(_TEXT_TASKS.values()))[0]
        plain = sample(rng, "heldout", name)[1].plain
        if plain:
            parts.append(plain.strip())
            length += len(parts[-1].encode("utf-8")) + 2
    return "\n\n".join(parts) + "\n"


def heldout_pictures() -> list[tuple[str, Image.Image, list[Turn]]]:
    """Twelve pictures, each with a name and six questions; no kind of item occurs twice."""
    rng = Random(7)
    used: set[str] = set()
    found = []
    for number, (label, n_items, task) in enumerate(_WANTED, 1):
        while True:
            width, height = (rng.randint(5, 9) * UNIT for _ in range(2))
            image, scene = draw_scene(rng, width, height, "heldout")
            if _is_wanted(scene, label, n_items, task) and not used & {item.kind for item in scene.items}:
                break
        used |= {item.kind for item in scene.items}
        found.append((f"{number:02d}-{label.replace(' ', '-')}.png", image, _questions(rng, scene)))
    return found


def _is_wanted(scene: Scene, label: str, n_items: int, task: str | None) -> bool:
    kinds = [item.kind for item in scene.items]
    if len(set(kinds)) != len(kinds) or len(kinds) != n_items:
        return False
    if (scene.text.task if scene.text else None) != task:
        return False
    return {"icon": ICONS, "one shape": SHAPES}.get(label, {**SHAPES, **ICONS}).keys() >= set(kinds)


def _questions(rng: Random, scene: Scene) -> list[Turn]:
    """One question of a task, reading and describing first."""

    def order(turn: Turn) -> int:
        return next((place for place, tasks in enumerate(_FIRST) if turn.task in tasks), len(_FIRST))

    by_task: dict[str, Turn] = {}
    for turn in sorted(questions(rng, scene), key=order):
        by_task.setdefault(turn.task, turn)
    return list(by_task.values())[:_N_QUESTIONS]


def main(folder: Path) -> None:
    """Write heldout.txt, the pictures and expected.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "heldout.txt").write_text(heldout_text(), encoding="utf-8")
    expected = []
    for name, image, turns in heldout_pictures():
        image.save(folder / name)
        expected.append({"file": name, "questions": [vars(turn) for turn in turns]})
    text = json.dumps(expected, indent=1, ensure_ascii=False) + "\n"
    (folder / "expected.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
