"""The files that are measured: those that are there, and those that are made for the purpose."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.random_models import SHAPES, write_random_model
from pyggml.package_data import demo_model


@dataclass(frozen=True)
class Models:
    """Which files to measure, or which ones to make; `folder` keeps those that are made."""

    paths: tuple[Path, ...]
    shapes: tuple[str, ...]
    formats: tuple[str, ...]
    """Q8_0 if none is given."""
    n_layers: int | None
    folder: Path | None


@contextmanager
def model_files(models: Models) -> Iterator[Iterator[Path]]:
    """Files one after another: those that are there, then those that are made, each when its turn comes.

    Without a folder to keep them, each is removed before the next is made.
    """
    if models.folder is not None:
        models.folder.mkdir(parents=True, exist_ok=True)
        yield _files(models, models.folder, is_kept=True)
        return
    with TemporaryDirectory() as folder:
        yield _files(models, Path(folder), is_kept=False)


def _files(models: Models, folder: Path, is_kept: bool) -> Iterator[Path]:
    yield from models.paths or (() if models.shapes else (demo_model(),))
    for shape_name in models.shapes:
        for format_name in models.formats or ("Q8_0",):
            shape = SHAPES[shape_name]
            shape = replace(shape, n_layers=models.n_layers or shape.n_layers)
            layers = f"-{shape.n_layers}-layers" if models.n_layers else ""
            path = folder / f"{shape_name}{layers}-{format_name}.gguf"
            if not path.exists():
                write_random_model(path, shape, format_name)
            yield path
            if not is_kept:
                path.unlink()
