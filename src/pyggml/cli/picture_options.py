"""What the model is shown: the options, and what they came to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from pyggml.cli.sections import Decorated, section
from pyggml.errors import UsageError


@dataclass(frozen=True)
class PictureOptions:
    """The vision tower, the pictures of the first message, and how finely pictures are seen."""

    mmproj: Path | None
    image: tuple[str, ...]
    image_min_tokens: int
    image_max_tokens: int

    def paths(self) -> list[Path]:
        """The pictures. Raises UsageError if there is no tower to see them with."""
        paths = [Path(name) for names in self.image for name in names.split(",") if name]
        if paths and self.mmproj is None:
            raise UsageError(
                f"--image {paths[0]}: a picture needs the vision tower of the model: give its file with --mmproj"
            )
        return paths


NO_TOWER = PictureOptions(None, (), 0, 0)

_pictures = section("Pictures")


def _tokens_option(name: str, option: str, help_text: str) -> Callable[[Decorated], Decorated]:
    return _pictures(
        name,
        option,
        type=click.IntRange(0),
        default=0,
        metavar="N",
        default_text="0, as the tower's file says",
        help=help_text,
    )


_TOWER_OPTIONS = (
    _pictures(
        "mmproj",
        "-mm",
        "--mmproj",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The GGUF file of the vision tower. The chat template is then chatml, unless another one is given.",
    ),
    _tokens_option("image_min_tokens", "--image-min-tokens", "Tokens that a picture takes at least."),
    _tokens_option("image_max_tokens", "--image-max-tokens", "Tokens that a picture takes at most."),
)
_IMAGE_OPTION = _pictures(
    "image",
    "--image",
    metavar="FILE,FILE...",
    multiple=True,
    help="Pictures before the first message; may be given again. In a conversation, /image FILE.",
)


def picture_options(function: Decorated) -> Decorated:
    """Add all of these options."""
    for option in reversed((*_TOWER_OPTIONS, _IMAGE_OPTION)):
        function = option(function)
    return function
