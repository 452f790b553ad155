"""Drawing shapes and icons with Pillow."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

Color = tuple[int, int, int]
Point = tuple[float, float]

#: Kinds of things, with their names in Chinese.
SHAPES = {
    "circle": "圆形",
    "square": "正方形",
    "triangle": "三角形",
    "star": "五角星",
    "diamond": "菱形",
    "hexagon": "六边形",
    "cross": "十字",
    "oval": "椭圆形",
    "rectangle": "长方形",
    "heart": "心形",
}
ICONS = {
    "house": "房子",
    "tree": "树",
    "sun": "太阳",
    "face": "笑脸",
    "flower": "花",
    "car": "汽车",
    "fish": "鱼",
    "moon": "月亮",
    "cloud": "云",
    "boat": "小船",
}
_TRUNK, _STEM = (110, 70, 35), (40, 140, 50)


@dataclass(frozen=True)
class Pen:
    """Draws around (x, y), in units of the radius r, in a color on a background."""

    draw: ImageDraw.ImageDraw
    x: float
    y: float
    r: float
    fill: Color
    back: Color

    @property
    def dark(self) -> Color:
        """A darker shade of the color."""
        red, green, blue = (int(value * 0.45) for value in self.fill)
        return red, green, blue

    @property
    def detail(self) -> Color:
        """What stands out from the color."""
        return (30, 30, 30) if sum(self.fill) > 240 else (235, 235, 235)

    def line_width(self, share: float) -> int:
        """The width of a line, in pixels."""
        return max(2, int(self.r * share))

    def box(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        """A box in pixels."""
        return self.x + left * self.r, self.y + top * self.r, self.x + right * self.r, self.y + bottom * self.r

    def ellipse(self, left: float, top: float, right: float, bottom: float, color: Color | None = None) -> None:
        """An ellipse inside the box."""
        self.draw.ellipse(self.box(left, top, right, bottom), color or self.fill)

    def rectangle(self, left: float, top: float, right: float, bottom: float, color: Color | None = None) -> None:
        """A filled box."""
        self.draw.rectangle(self.box(left, top, right, bottom), color or self.fill)

    def polygon(self, *points: Point, color: Color | None = None) -> None:
        """A filled polygon."""
        self.draw.polygon([(self.x + a * self.r, self.y + b * self.r) for a, b in points], color or self.fill)


def _corners(n: int, radius: float, turn: float, center: Point = (0.0, 0.0)) -> list[Point]:
    angles = [turn + 2 * math.pi * index / n for index in range(n)]
    return [(center[0] + radius * math.cos(angle), center[1] + radius * math.sin(angle)) for angle in angles]


def _star(pen: Pen) -> None:
    outer, inner = _corners(5, 1, -math.pi / 2), _corners(5, 0.42, -math.pi / 2 + math.pi / 5)
    pen.polygon(*(point for pair in zip(outer, inner, strict=True) for point in pair))


def _cross(pen: Pen) -> None:
    pen.rectangle(-1, -0.3, 1, 0.3)
    pen.rectangle(-0.3, -1, 0.3, 1)


def _heart(pen: Pen) -> None:
    pen.ellipse(-1, -0.85, 0.06, 0.15)
    pen.ellipse(-0.06, -0.85, 1, 0.15)
    pen.polygon((-0.94, -0.12), (0.94, -0.12), (0, 1))


def _house(pen: Pen) -> None:
    pen.rectangle(-0.75, -0.15, 0.75, 1)
    pen.polygon((-1, -0.15), (0, -1), (1, -0.15), color=pen.dark)
    pen.rectangle(-0.18, 0.35, 0.18, 1, pen.detail)


def _tree(pen: Pen) -> None:
    pen.rectangle(-0.16, 0.2, 0.16, 1, _TRUNK)
    pen.ellipse(-0.75, -1, 0.75, 0.45)


def _sun(pen: Pen) -> None:
    for ray in range(8):
        across, down = math.cos(math.pi * ray / 4), math.sin(math.pi * ray / 4)
        pen.draw.line(pen.box(0.6 * across, 0.6 * down, across, down), pen.fill, pen.line_width(0.14))
    pen.ellipse(-0.55, -0.55, 0.55, 0.55)


def _face(pen: Pen) -> None:
    pen.ellipse(-1, -1, 1, 1)
    for side in (-1, 1):
        pen.ellipse(side * 0.38 - 0.13, -0.4, side * 0.38 + 0.13, -0.12, pen.detail)
    pen.draw.arc(pen.box(-0.55, -0.5, 0.55, 0.6), 20, 160, pen.detail, pen.line_width(0.12))


def _flower(pen: Pen) -> None:
    pen.draw.line(pen.box(0, 0, 0, 1), _STEM, pen.line_width(0.14))
    for a, b in _corners(5, 0.42, -math.pi / 2, (0, -0.3)):
        pen.ellipse(a - 0.28, b - 0.28, a + 0.28, b + 0.28)
    pen.ellipse(-0.2, -0.5, 0.2, -0.1, pen.detail)


def _car(pen: Pen) -> None:
    pen.polygon((-0.6, -0.1), (-0.35, -0.55), (0.35, -0.55), (0.65, -0.1))
    pen.rectangle(-1, -0.12, 1, 0.38)
    wheels = pen.dark if sum(pen.back) > 300 else (170, 170, 170)
    for side in (-1, 1):
        pen.ellipse(side * 0.52 - 0.24, 0.15, side * 0.52 + 0.24, 0.63, wheels)


def _fish(pen: Pen) -> None:
    pen.ellipse(-1, -0.45, 0.5, 0.45)
    pen.polygon((0.35, 0), (1, -0.45), (1, 0.45))
    pen.ellipse(-0.7, -0.2, -0.5, 0, pen.detail)


def _moon(pen: Pen) -> None:
    outside = [(math.cos(a), math.sin(a)) for a in np.linspace(math.pi * 0.35, math.pi * 1.65, 24)]
    inside = [(0.45 + 0.82 * math.cos(a), 0.82 * math.sin(a)) for a in np.linspace(math.pi * 1.55, math.pi * 0.45, 24)]
    pen.polygon(*outside, *inside)


def _cloud(pen: Pen) -> None:
    for across, down, size in ((-0.5, 0.15, 0.42), (0, -0.1, 0.55), (0.5, 0.15, 0.42)):
        pen.ellipse(across - size, down - size, across + size, down + size)
    pen.rectangle(-0.5, 0.1, 0.5, 0.57)


def _boat(pen: Pen) -> None:
    pen.polygon((-1, 0.3), (1, 0.3), (0.6, 0.85), (-0.6, 0.85))
    pen.draw.line(pen.box(0, 0.3, 0, -1), pen.dark, pen.line_width(0.1))
    pen.polygon((0.08, -0.9), (0.08, 0.15), (0.75, 0.15))


_DRAWERS: dict[str, Callable[[Pen], None]] = {
    "circle": lambda pen: pen.ellipse(-1, -1, 1, 1),
    "square": lambda pen: pen.rectangle(-0.88, -0.88, 0.88, 0.88),
    "triangle": lambda pen: pen.polygon((0, -1), (-1, 0.8), (1, 0.8)),
    "star": _star,
    "diamond": lambda pen: pen.polygon((0, -1), (0.72, 0), (0, 1), (-0.72, 0)),
    "hexagon": lambda pen: pen.polygon(*_corners(6, 1, 0)),
    "cross": _cross,
    "oval": lambda pen: pen.ellipse(-1, -0.55, 1, 0.55),
    "rectangle": lambda pen: pen.rectangle(-1, -0.5, 1, 0.5),
    "heart": _heart,
    "house": _house,
    "tree": _tree,
    "sun": _sun,
    "face": _face,
    "flower": _flower,
    "car": _car,
    "fish": _fish,
    "moon": _moon,
    "cloud": _cloud,
    "boat": _boat,
}


def draw_item(kind: str, pen: Pen) -> None:
    """Draw a shape or icon."""
    _DRAWERS[kind](pen)
