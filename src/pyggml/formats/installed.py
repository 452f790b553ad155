"""Formats of installed packages, which announce them as entry points."""

from importlib.metadata import entry_points

from pyggml.errors import FormatError
from pyggml_kernels.formats import OwnFormat

#: The group of entry points: `[project.entry-points."pyggml.formats"]`, with lines such as `NF4 = "package.nf4:NF4"`.
ENTRY_POINTS = "pyggml.formats"


def installed_formats() -> list[OwnFormat]:
    """The formats of all packages that offer some. Raises FormatError for one that cannot be imported or is none."""
    formats = []
    for each in entry_points(group=ENTRY_POINTS):
        package = each.dist.name if each.dist else "unknown"
        problem = f"the format {each.name} of the installed package {package} ({each.value})"
        try:
            form = each.load()
        except Exception as error:
            raise FormatError(f"{problem} cannot be imported: {type(error).__name__}: {error}") from error
        if not isinstance(form, OwnFormat):
            raise FormatError(f"{problem} is a {type(form).__name__}; needed is what pyggml.own_format returns")
        formats.append(form)
    return formats
