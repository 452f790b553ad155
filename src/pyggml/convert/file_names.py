"""The names of converted files: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#gguf-naming-convention"""

from collections.abc import Mapping

from pyggml.errors import UsageError


def default_name(texts: Mapping[str, str], type_name: str | None, kind: str | None = None) -> str:
    """Such as Qwen2.5-0.5B-Instruct-F16.gguf: what the keys "general.*" tell, joined by dashes.

    A vocabulary alone has no size, and no `type_name` but a `kind`.
    """
    base = texts.get("basename") or texts["name"]
    size = None if kind else texts.get("size_label")
    parts = (size, texts.get("finetune"), texts.get("version"), type_name, kind)
    name = base.strip().replace(" ", "-").replace("/", "-")
    return "-".join([name, *(part.strip().replace(" ", "-") for part in parts if part)]) + ".gguf"


def filled_name(name: str, type_name: str) -> str:
    """A name in which "{ftype}" or "{outtype}" stand for the type, in upper case if so written.

    Raises UsageError for other braces.
    """
    lower, upper = type_name.lower(), type_name.upper()
    try:
        return name.format(lower, ftype=lower, outtype=lower, FTYPE=upper, OUTTYPE=upper)
    except (LookupError, ValueError, AttributeError):
        raise UsageError(
            f"--outfile {name!r}: what is in braces is unknown; allowed are {{ftype}}, {{outtype}}, "
            "{FTYPE} and {OUTTYPE}"
        ) from None
