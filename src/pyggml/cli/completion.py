"""`pyggml completion`: the script that teaches a shell our options."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print a shell's completion script.

    \b
    eval "$(pyggml completion bash)"                              # in ~/.bashrc
    eval "$(pyggml completion zsh)"                               # in ~/.zshrc
    pyggml completion fish > ~/.config/fish/completions/pyggml.fish
    """
    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise click.UsageError(f"click {click.__version__} has no completion for {shell}")
    completion = completion_class(context.find_root().command, {}, "pyggml", "_PYGGML_COMPLETE")
    # Not source(): for bash it starts the machine's own bash, which need not be the one that reads the script.
    click.echo(completion.source_template % completion.source_vars())
