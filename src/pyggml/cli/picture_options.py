"""What the model is shown: the options, and what they came to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from pyggml.cli.sections import Decorated, section
from pyggml.errors import UsageError


@dataclass(frozen=True)
class TowerOptions:
    """The vision tower, and how finely it sees pictures."""

    mmproj: Path | None
    no_mmproj: bool
    image_min_tokens: int
    image_max_tokens: int
    mmproj_offload: bool = True


@dataclass(frozen=True)
class PictureOptions:
    """The pictures of the first message."""

    image: tuple[str, ...]

    def paths(self) -> list[Path]:
        """The files."""
        return [Path(name) for names in self.image for name in names.split(",") if name]

    def check(self, tower: TowerOptions) -> None:
        """Raises UsageError for pictures without a tower to see them with."""
        if tower.mmproj is None and (paths := self.paths()):
            raise UsageError(
                f"--image {paths[0]}: a picture needs the vision tower of the model: give its file with --mmproj"
            )


NO_TOWER = TowerOptions(None, False, 0, 0)

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
        default_text="with -hf and --modelscope the one beside the model",
        help="The GGUF file of the vision tower.",
    ),
    _pictures("no_mmproj", "--no-mmproj", is_flag=True, help="Leave the vision tower beside the model where it is."),
    _pictures(
        "mmproj_offload",
        "--mmproj-offload/--no-mmproj-offload",
        default=True,
        default_text="on",
        help="Compute the vision tower on the GPU, if layers are there.",
    ),
    _tokens_option("image_min_tokens", "--image-min-tokens", "Tokens that a picture takes at least."),
    _tokens_option("image_max_tokens", "--image-max-tokens", "Tokens that a picture takes at most."),
)
_IMAGE_OPTION = _pictures(
    "image",
    "--image",
    metavar="FILE,FILE...",
    multiple=True,
    help="Pictures before the first message, with the chat template chatml unless another one is given. May be given"
    " again. In a conversation, /image FILE.",
)


def tower_options(function: Decorated) -> Decorated:
    """Add the options of the tower."""
    for option in reversed(_TOWER_OPTIONS):
        function = option(function)
    return function


def image_option(function: Decorated) -> Decorated:
    """Add `--image`."""
    return _IMAGE_OPTION(function)
