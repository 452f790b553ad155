"""`pyggml serve`: a model behind HTTP."""

from typing import Any

import click

from pyggml.cli.ignored_options import explain_ignored, ignored_server_options
from pyggml.cli.model_options import LoadOptions, ModelOptions, model_options, take
from pyggml.cli.picture_options import TowerOptions, tower_options
from pyggml.cli.sampling_options import sampling_options, take_sampling
from pyggml.cli.sections import SectionCommand, debug_option
from pyggml.cli.serve_options import (
    CapacityOptions,
    EndpointOptions,
    ListenOptions,
    LogOptions,
    TransferOptions,
    serve_options,
)


@click.command(
    "serve", cls=SectionCommand, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@model_options
@tower_options
@serve_options
@sampling_options
@ignored_server_options
@debug_option
def serve_command(**values: Any) -> None:
    """Serve the APIs of llama-server and OpenAI over HTTP, and a page to chat at /.

    What a request leaves out is taken from the sampling options here.

    \b
    pyggml serve                                     the model inside the package, at http://127.0.0.1:8080
    pyggml serve -m demo-vl                          the one that sees pictures, too
    pyggml serve -m model.gguf --port 9000 -np 8 -c 32768
    pyggml serve -hf user/repo:Q4_K_M --api-key secret
    pyggml serve -m text.gguf --mmproj vision.gguf
    """
    # Imported here, so that --help needs neither NumPy nor FastAPI.
    from pyggml.cli.serving import ServeOptions, run_server

    run_server(
        ServeOptions(
            take(ModelOptions, values),
            take(LoadOptions, values),
            take(TowerOptions, values),
            take(ListenOptions, values),
            take(TransferOptions, values),
            take(CapacityOptions, values),
            take(EndpointOptions, values),
            take(LogOptions, values),
            take_sampling(values, escape=True),
            tuple(explain_ignored(values)),
        )
    )
