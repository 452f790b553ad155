"""Commands with many options: help in sections, and arguments as llama.cpp's users write them."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_DEBUG = "pyggml.debug"


class SectionOption(click.Option):
    """An option that knows under which heading the help lists it.

    `default_text` tells the default in the help. `bare_value` is the value of an option with choices that stands
    alone, such as `--color`.
    """

    def __init__(
        self, *args: Any, section: str, default_text: str | None = None, bare_value: str | None = None, **kwargs: Any
    ) -> None:
        """Take click's arguments and these."""
        super().__init__(*args, **kwargs)
        self.section = section
        self.default_text = default_text
        self.bare_value = bare_value

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Give names and help, with the default."""
        record = super().get_help_record(ctx)
        if record is None or self.default_text is None:
            return record
        return record[0], f"{self.help}  [default: {self.default_text}]"


class SectionCommand(click.Command):
    """A command of `SectionOption`s; a word of one dash and several letters is one option, never several."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Check and normalize the option names, then parse. Raises click.NoSuchOption."""
        return super().parse_args(ctx, args if ctx.resilient_parsing else self._normalized(ctx, args))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of options for each section, in the order of their declaration."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            if record := option.get_help_record(ctx):
                sections.setdefault(getattr(option, "section", "Help"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records, col_max=36)

    def _normalized(self, ctx: click.Context, args: Sequence[str]) -> list[str]:
        options = {
            name: option
            for option in self.get_params(ctx)
            if isinstance(option, click.Option)
            for name in (*option.opts, *option.secondary_opts)
        }
        normalized: list[str] = []
        rest = list(args)
        while rest:
            argument = rest.pop(0)
            if argument == "--":
                return [*normalized, argument, *rest]
            if argument == "-" or not argument.startswith("-"):
                normalized.append(argument)
                continue
            name, equals, value = argument.partition("=")
            name = name.replace("_", "-")
            if name not in options:
                raise click.NoSuchOption(name, possibilities=get_close_matches(name, options), ctx=ctx)
            normalized.append(name + equals + value)
            if not equals:
                normalized += _take_value(options[name], rest)
        return normalized


def _take_value(option: click.Option, rest: list[str]) -> list[str]:
    """Move an option's value, if it takes one, from the front of the arguments that are left."""
    if isinstance(option, SectionOption) and option.bare_value is not None and isinstance(option.type, click.Choice):
        if not rest or rest[0] not in option.type.choices:
            return [option.bare_value]
    elif option.is_flag or option.count or not rest:
        return []
    return [rest.pop(0)]


def section(title: str) -> Callable[..., Callable[[Decorated], Decorated]]:
    """Make a decorator like `click.option` whose options stand under this title."""

    def option(*names: str, **attributes: Any) -> Callable[[Decorated], Decorated]:
        return click.option(*names, cls=SectionOption, section=title, **attributes)

    return option


def _remember_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.meta[_DEBUG] = True


def debug_option(function: Decorated) -> Decorated:
    """Add `--debug`, which `wants_traceback` reads."""
    option = section("Help")(
        "--debug",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_remember_debug,
        help="Show the traceback of an error.",
    )
    return option(function)


def wants_traceback(context: click.Context) -> bool:
    """Tell whether `--debug` was given to the program or to the command."""
    return bool(context.meta.get(_DEBUG))
