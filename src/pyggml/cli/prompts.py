"""The texts that options give directly or in files."""

import sys
from pathlib import Path

from pyggml.cli.escapes import process_escapes
from pyggml.cli.serve_options import EndpointOptions
from pyggml.cli.text_options import InteractionOptions, PromptOptions
from pyggml.errors import UsageError


def read_prompt(options: PromptOptions) -> str | None:
    """Give the prompt of -p or -f, with its escapes processed; None if there is neither. Raises UsageError."""
    text = choose_text("-p", options.prompt, "-f", options.file)
    return process_escapes(text) if text is not None and options.escape else text


def read_system_prompt(options: PromptOptions) -> str | None:
    """Give the system message of -sys or -sysf, as it is. Raises UsageError."""
    return choose_text("-sys", options.system_prompt, "-sysf", options.system_prompt_file)


def template_choice(options: InteractionOptions | EndpointOptions) -> str | None:
    """Give what --chat-template says, or the text of --chat-template-file. Raises UsageError."""
    return choose_text(
        "--chat-template", options.chat_template, "--chat-template-file", options.chat_template_file, strip=False
    )


def choose_text(
    text_option: str, text: str | None, file_option: str, file: Path | None, strip: bool = True
) -> str | None:
    """Give the text of one of two options; None if there is neither. Raises UsageError."""
    if file is None:
        return text
    if text is not None:
        raise UsageError(f"{text_option} and {file_option} both give the text: give one of them")
    try:
        content = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file_option} {file}: the file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file_option} {file}: the file is not UTF-8 text: {error.reason}") from error
    # As in llama.cpp: the line break that editors put at the end of a file is not part of the prompt.
    return content.removesuffix("\n") if strip else content
