"""Finding the files of the model that the options name."""

import os
from dataclasses import replace
from pathlib import Path

from pyggml.cli.console import Console
from pyggml.cli.model_options import ModelOptions
from pyggml.cli.picture_options import TowerOptions
from pyggml.errors import DownloadError, UsageError
from pyggml.package_data import DEMO_MODELS, demo_mmproj, demo_model


def locate_model(options: ModelOptions, *, sees_pictures: bool = False) -> Path:
    """Give the model's path, after a download if need be. Raises UsageError, DownloadError.

    Where none is named, it is the one inside the package that talks, or the one that sees pictures too.
    """
    given = {
        "-m": options.model,
        "-mu": options.model_url,
        "-hf": options.hf_repo,
        "--modelscope": options.modelscope,
    }
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} each name a model: give one of them")
    if options.hf_file is not None and options.hf_repo is None:
        raise UsageError("-hff names a file of a Hugging Face repository: give the repository with -hf")
    if options.model is not None:
        return _named(options.model)
    return _download(options) if names else demo_model("demo-vl" if sees_pictures else "demo-text")


def _named(path: Path) -> Path:
    """The file, or the model inside the package that has this name if there is no such file."""
    name = str(path)
    return demo_model(name) if name in DEMO_MODELS and not path.exists() else path


def comes_with_tower(options: ModelOptions) -> bool:
    """Whether `locate_tower` may find a tower for a model that is shown pictures."""
    if options.hf_repo is not None or options.modelscope is not None:
        return True
    return options.model_url is None and (options.model is None or _named(options.model) == demo_model("demo-vl"))


def locate_tower(options: ModelOptions, tower: TowerOptions, model: Path, console: Console) -> TowerOptions:
    """Give the options of the tower, with its file from the package or repository of a model that sees pictures.

    If there is none, it is said, and the model runs without. Raises UsageError, DownloadError.
    """
    if tower.mmproj is not None or tower.no_mmproj or not comes_with_tower(options) or not _sees(model):
        return tower
    if model == demo_model("demo-vl"):
        return replace(tower, mmproj=demo_mmproj())
    try:
        return replace(tower, mmproj=_download(options, tower_of=model))
    except DownloadError as error:
        console.warn(f"no pictures can be shown: {error}")
        return tower


def _sees(model: Path) -> bool:
    """Whether a model is of an architecture that sees pictures."""
    from pyggml.gguf import GGUFFile
    from pyggml.models import ARCHITECTURES

    with GGUFFile.open(model) as file:
        architecture = ARCHITECTURES.get(file.get("general.architecture", str, ""))
        return architecture is not None and architecture.has_sections


def _download(options: ModelOptions, tower_of: Path | None = None) -> Path:
    # Imported here, as most runs need no network.
    from pyggml.cli.progress import DownloadProgress
    from pyggml.hub import (
        Network,
        cache_directory,
        download_url,
        resolve_huggingface,
        resolve_modelscope,
    )

    cache, network = cache_directory(), Network(offline=options.offline)
    token = options.hf_token or os.environ.get("HF_TOKEN")
    with DownloadProgress() as progress:
        if options.modelscope is not None:
            return resolve_modelscope(options.modelscope, cache, tower_of=tower_of, progress=progress, network=network)
        if options.model_url is not None:
            return download_url(options.model_url, cache, token=token, progress=progress, network=network)
        return resolve_huggingface(
            options.hf_repo or "",
            cache,
            file=options.hf_file,
            tower_of=tower_of,
            token=token,
            progress=progress,
            network=network,
        )
