"""The formats that are at hand: ggml's, and those of one's own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyggml.errors import FormatError
from pyggml.formats.installed import installed_formats
from pyggml.gguf import GGML_TYPES, GGMLType, GGUFFile
from pyggml_kernels.formats import FORMATS, Format, OwnFormat


@dataclass(frozen=True)
class Formats:
    """ggml's formats and these. `Formats.of` makes one from formats that need not fit together."""

    own: tuple[OwnFormat, ...] = ()

    @classmethod
    def of(cls, formats: Iterable[OwnFormat]) -> "Formats":
        """With these formats; one given twice counts once.

        Raises FormatError for one with the name of a type of ggml's, or the name or number of another.
        """
        taken: dict[int, OwnFormat] = {}
        for each in formats:
            if each.name in {known.name for known in GGML_TYPES.values()}:
                raise FormatError(f"{each.source}: the format {each.name} has the name of one of ggml's: rename it")
            other = taken.setdefault(each.type_id, each)
            if other is not each:
                raise FormatError(
                    f"{each.source}: the format {each.name} has the {'name' if other.name == each.name else 'number'} "
                    f"of {other.name} in {other.source}: rename or leave out one of them"
                )
        return cls(tuple(taken.values()))

    @property
    def by_number(self) -> Mapping[int, Format]:
        """All formats by their numbers in a GGUF file."""
        return {**FORMATS, **{each.type_id: each for each in self.own}}

    @property
    def own_types(self) -> Mapping[str, GGMLType]:
        """What a GGUF file says of one's own formats, by name."""
        return {each.name: GGMLType(each.type_id, each.name, each.block_size, each.block_bytes) for each in self.own}

    def named(self, name: str) -> Format:
        """The format of that name, in upper or lower case. Raises FormatError, which lists the names."""
        for each in self.by_number.values():
            if each.name == name.upper():
                return each
        raise FormatError(
            f"there is no format {name!r}; allowed are {', '.join(each.name for each in self.by_number.values())}, "
            "and those of files given with --format-file"
        )

    def with_installed(self) -> "Formats":
        """These, and those of installed packages whose names are not taken. Raises FormatError."""
        names = {each.name for each in self.own}
        return Formats.of([*self.own, *(each for each in installed_formats() if each.name not in names)])

    def for_file(self, file: GGUFFile) -> "Formats":
        """Those that a file's tensors need and that are here, or installed; each is compiled and checked.

        Raises FormatError for a format that has other blocks than the file, or does not work.
        """
        needed = {each.own_type.name: each.own_type for each in file.tensors.values() if each.own_type}
        here = self if needed.keys() <= self.own_types.keys() else self.with_installed()
        used = [each for each in here.own if each.name in needed]
        for each in used:
            found = needed[each.name]
            if (each.block_size, each.block_bytes) != (found.block_size, found.block_bytes):
                raise FormatError(
                    f"{file.path}: the format {each.name} has blocks of {found.block_size} weights in "
                    f"{found.block_bytes} bytes; as {each.source} defines it they have {each.block_size} in "
                    f"{each.block_bytes}: load the version that the file was made with"
                )
            verify(each)
        return Formats.of(used)


def verify(form: OwnFormat) -> None:
    """Compile a format and decode a block of zeros. Raises FormatError if that fails."""
    try:
        form.verify()
    except ValueError as error:
        raise FormatError(f"{form.source}: {error}") from error
