"""The colors of pictures."""

from random import Random

from demo_models.drawing import Color
from demo_models.tables import pairs

RGB: dict[str, Color] = {
    "red": (220, 40, 40),
    "blue": (40, 80, 220),
    "green": (40, 160, 60),
    "yellow": (240, 220, 50),
    "orange": (245, 140, 30),
    "purple": (140, 60, 180),
    "pink": (245, 150, 190),
    "brown": (125, 75, 40),
    "black": (20, 20, 20),
    "white": (250, 250, 250),
    "gray": (130, 130, 130),
}
_BACKGROUNDS = ["white"] * 5 + ["black"] * 2 + [name for name in RGB if name not in ("white", "black")]
#: Pairs that are hard to tell apart, even for people.
_TOO_CLOSE = (
    {"red", "orange"},
    {"brown", "gray"},
    {"pink", "red"},
    {"yellow", "orange"},
    {"brown", "red"},
    {"brown", "black"},
    {"white", "yellow"},
    {"blue", "purple"},
    {"pink", "white"},
    {"brown", "orange"},
)


def background_color(rng: Random) -> str:
    """The name of a background's color; most are white or black."""
    return rng.choice(_BACKGROUNDS)


def color_on(rng: Random, back: str) -> str:
    """The name of a color that stands out from a background."""
    while True:
        color = rng.choice(list(pairs("colors")))
        if color != back and {color, back} not in _TOO_CLOSE:
            return color


def jitter(rng: Random, color: Color, amount: int = 14) -> Color:
    """A color close to this one."""
    red, green, blue = (max(0, min(255, value + rng.randint(-amount, amount))) for value in color)
    return red, green, blue
