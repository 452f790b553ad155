"""Finding the file of the model that the options name."""

import os
from pathlib import Path

from pyggml.cli.model_options import ModelOptions
from pyggml.errors import UsageError
from pyggml.package_data import demo_model


def locate_model(options: ModelOptions) -> Path:
    """Give the model's path, after a download if need be. Raises UsageError, DownloadError."""
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
        return options.model
    return _download(options) if names else demo_model()


def _download(options: ModelOptions) -> Path:
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
            return resolve_modelscope(options.modelscope, cache, progress=progress, network=network)
        if options.model_url is not None:
            return download_url(options.model_url, cache, token=token, progress=progress, network=network)
        return resolve_huggingface(
            options.hf_repo or "", cache, file=options.hf_file, token=token, progress=progress, network=network
        )
