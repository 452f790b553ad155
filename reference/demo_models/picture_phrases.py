"""Chinese phrases about pictures, whose characters the tokenizer has to know."""

from demo_models.questions import CELLS, KINDS
from demo_models.tables import names, pairs


def picture_phrases() -> list[str]:
    """Fixed phrases, names of kinds and places, and sentences of all of them."""
    places = [chinese for _, chinese in CELLS]
    phrases = [*names("zh_picture_phrases"), *KINDS.values(), *places]
    phrases += [f"图中有{number}个形状。" for number in "零一两三四五六七八九"]
    for color in pairs("colors").values():
        phrases += [
            f"图中有一个{color}的{kind}，在图片的{place}。背景是{color}的。"
            for kind in KINDS.values()
            for place in places
        ]
    return phrases
