"""Formats of one's own: where they come from, and which ones a model needs.

A format's file is code, and is run only if the user names it; packages that offer formats were installed by the user.
A GGUF file chooses among them by name, and never brings code along.
"""

from pyggml.formats.collection import Formats
from pyggml.formats.files import read_formats
from pyggml.formats.installed import ENTRY_POINTS, installed_formats

__all__ = ["ENTRY_POINTS", "Formats", "installed_formats", "read_formats"]
