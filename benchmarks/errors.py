"""What a user of the benchmarks did or has to do differently."""

import click


class BenchmarkError(click.ClickException):
    """A benchmark that cannot run as asked; the message says what to do."""
