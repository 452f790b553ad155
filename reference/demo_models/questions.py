"""Questions about scenes, in English and Chinese, with their answers."""

from collections.abc import Iterator
from random import Random

from demo_models.documents import Turn
from demo_models.drawing import ICONS, SHAPES
from demo_models.phrases import an, join_and
from demo_models.scenes import Item, Scene, Text
from demo_models.tables import pairs

KINDS = SHAPES | ICONS
_PLURALS = {"hexagon": "hexagons", "cross": "crosses", "fish": "fish"}
CELLS = (
    ("in the top left", "左上角"),
    ("at the top", "上方"),
    ("in the top right", "右上角"),
    ("on the left", "左边"),
    ("in the center", "中间"),
    ("on the right", "右边"),
    ("in the bottom left", "左下角"),
    ("at the bottom", "下方"),
    ("in the bottom right", "右下角"),
)
_ZH_COUNT = ("零", "一", "两", "三", "四", "五")
_ZH_MEASURE = {
    "fish": "条",
    "tree": "棵",
    "flower": "朵",
    "cloud": "朵",
    "car": "辆",
    "boat": "艘",
    "house": "座",
}
DESCRIBE = (
    "Describe this image.",
    "Describe the image.",
    "What is in this image?",
    "What do you see?",
    "What can you see in the picture?",
    "Describe this picture.",
)
ZH_DESCRIBE = ("请描述这张图片。", "描述图片。", "图中有什么？", "图片里有什么？")
READ = (
    "What does the text say?",
    "Read the text.",
    "What is written in the image?",
    "What text is in this image?",
    "Read the text in the image.",
)
ZH_READ = ("图里写着什么？", "读出图片中的文字。")


def describe(scene: Scene) -> str:
    """All of it in English."""
    text = f'The text "{scene.text.text}" is written in {scene.text.color}. ' if scene.text else ""
    parts = [f"{an(item.color)} {item.kind} {CELLS[item.cell][0]}" for item in scene.items]
    if parts:
        text += f"There is {join_and(parts)}. "
    return text + f"The background is {scene.background}."


def describe_zh(scene: Scene) -> str:
    """All of it in Chinese."""
    colors = pairs("colors")
    text = f"图中写着{colors[scene.text.color]}的“{scene.text.text}”。" if scene.text else ""
    parts = [
        f"{CELLS[item.cell][1]}有一{_ZH_MEASURE.get(item.kind, '个')}{colors[item.color]}的{KINDS[item.kind]}"
        for item in scene.items
    ]
    if parts:
        text += "图片" + "，".join(parts) + "。"
    return text + f"背景是{colors[scene.background]}的。"


def questions(rng: Random, scene: Scene) -> list[Turn]:
    """Every question that can be asked of a scene, in random order."""
    out = list(_about_all(rng, scene))
    if scene.text:
        out += _about_text(rng, scene.text)
    if scene.items:
        out += _about_items(rng, scene)
    rng.shuffle(out)
    return out


def _about_all(rng: Random, scene: Scene) -> Iterator[Turn]:
    yield Turn("describe", rng.choice(DESCRIBE), describe(scene))
    yield Turn("zh describe", rng.choice(ZH_DESCRIBE), describe_zh(scene))
    asked = rng.choice(("What color is the background?", "What is the background color?"))
    yield Turn("background", asked, f"The background is {scene.background}.")
    yield Turn("zh background", "背景是什么颜色？", f"背景是{pairs('colors')[scene.background]}的。")


def _about_text(rng: Random, text: Text) -> Iterator[Turn]:
    for _ in range(2):
        yield Turn("read " + text.task, rng.choice(READ), f'The text says "{text.text}".')
    yield Turn("zh read", rng.choice(ZH_READ), f"图中写着“{text.text}”。")
    asked = rng.choice(("What color is the text?", "Which color is the text?"))
    yield Turn("text color", asked, f"The text is {text.color}.")


def _about_items(rng: Random, scene: Scene) -> Iterator[Turn]:
    n = len(scene.items)
    asked = rng.choice(("How many objects are there?", "How many objects are in the image?", "Count the objects."))
    yield Turn("count", asked, "There is 1 object." if n == 1 else f"There are {n} objects.")
    yield Turn("zh count", rng.choice(("图中有几个物体？", "有几个物体？")), f"图中有{_ZH_COUNT[n]}个物体。")
    item = rng.choice(scene.items)
    yield _count_of_a_kind(rng, scene, item)
    if sum(other.kind == item.kind for other in scene.items) == 1:
        yield from _about_the_only_one(rng, item)
    name = f"{an(item.color)} {item.kind}"
    if sum(other.color == item.color for other in scene.items) == 1:
        asked = rng.choice((f"What is {item.color}?", f"Which object is {item.color}?"))
        yield Turn("kind", asked, f"The {item.kind} is {item.color}.")
    place = CELLS[item.cell][0]
    asked = rng.choice((f"What is {place}?", f"What do you see {place}?"))
    yield Turn("what at", asked, f"There is {name} {place}.")
    yield _yes_or_no(rng, scene, item)
    if n == 1 and not scene.text:
        yield Turn("what is this", rng.choice(("What is this?", "What is shown here?")), f"This is {name}.")
        yield Turn("zh what", "这是什么？", f"这是{pairs('colors')[item.color]}的{KINDS[item.kind]}。")


def _count_of_a_kind(rng: Random, scene: Scene, item: Item) -> Turn:
    kind = item.kind if rng.random() < 0.6 else rng.choice(list(KINDS))
    number = sum(other.kind == kind for other in scene.items)
    plural = _PLURALS.get(kind, kind + "s")
    some = f"There is 1 {kind}." if number == 1 else f"There are {number} {plural}."
    return Turn("count kind", f"How many {plural} are there?", some if number else f"There are no {plural}.")


def _about_the_only_one(rng: Random, item: Item) -> Iterator[Turn]:
    kind, zh_kind = item.kind, KINDS[item.kind]
    place, zh_place = CELLS[item.cell]
    asked = rng.choice((f"What color is the {kind}?", f"Which color does the {kind} have?"))
    yield Turn("color", asked, f"The {kind} is {item.color}.")
    yield Turn("zh color", f"{zh_kind}是什么颜色的？", f"{zh_kind}是{pairs('colors')[item.color]}的。")
    asked = rng.choice((f"Where is the {kind}?", f"Where can you see the {kind}?"))
    yield Turn("position", asked, f"The {kind} is {place}.")
    yield Turn("zh position", f"{zh_kind}在哪里？", f"{zh_kind}在{zh_place}。")


def _yes_or_no(rng: Random, scene: Scene, item: Item) -> Turn:
    color, kind = item.color, item.kind
    if rng.random() >= 0.5:
        if rng.random() < 0.5:
            color = rng.choice(list(pairs("colors")))
        else:
            kind = rng.choice(list(KINDS))
    is_there = any((other.kind, other.color) == (kind, color) for other in scene.items)
    name = f"{an(color)} {kind}"
    answer = f"Yes, there is {name}." if is_there else f"No, there is no {color} {kind}."
    return Turn("yes/no", rng.choice((f"Is there {name}?", f"Do you see {name}?")), answer)
