"""`pyggml devices`: the GPUs and the CPU that layers can be placed on."""

import click

from pyggml.cli.sections import debug_option


@click.command("devices")
@debug_option
def devices_command() -> None:
    """List what models run on: the CPU with its instructions and threads, each GPU with its free memory.

    \b
    pyggml devices
    pyggml run -m model.gguf -ngl 20            # the last 20 layers on the GPUs
    pyggml run -m model.gguf --device CUDA1     # on this one of them
    """
    # Imported here, so that --help needs neither NumPy nor Numba.
    from pyggml.cli.device_list import list_devices

    list_devices()
