"""PTX as text to instructions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*\(([^)]*)\)([^{]*)\{", re.DOTALL)
_PARAMETER = re.compile(r"\.param\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)(?:\[(\d+)\])?")
_VARIABLE = re.compile(r"(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)(?:\[(\d*)\])?(?:\s*=\s*(.+))?$", re.DOTALL)
_GLOBAL = re.compile(r"^(?:\.visible\s+)?(\.extern\s+)?\.(global|const|shared)\s+([^;]+);", re.MULTILINE)
_LABEL = re.compile(r"([\w$]+):")
_NUMBER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|\d+)U?$")


@dataclass(frozen=True)
class Immediate:
    """A number, by its bits if it is a float."""

    value: int


@dataclass(frozen=True)
class Name:
    """A register, a special register, a symbol or a label."""

    name: str


@dataclass(frozen=True)
class Address:
    """What stands in brackets: a register or a symbol, if any, and an offset."""

    base: str | None
    offset: int


@dataclass(frozen=True)
class Vector:
    """What stands in braces."""

    parts: tuple["Immediate | Name", ...]


Operand = Immediate | Name | Address | Vector


@dataclass(frozen=True)
class Instruction:
    """One instruction; the guard is a register, and whether it is negated."""

    opcode: tuple[str, ...]
    operands: tuple[Operand, ...]
    guard: tuple[str, bool] | None
    text: str


@dataclass
class Kernel:
    """A kernel's instructions; `registers` by kind, other variables by their offsets."""

    name: str
    parameters: dict[str, int]
    parameter_bytes: int
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    registers: dict[str, str] = field(default_factory=dict)
    shared: dict[str, int] = field(default_factory=dict)
    local: dict[str, int] = field(default_factory=dict)
    shared_bytes: int = 0
    local_bytes: int = 0


class Program:
    """What a compiler made of one source: its kernels, and its global variables with their first contents."""

    def __init__(self, text: str) -> None:
        text = _COMMENT.sub("", text.replace("\0", ""))
        self.kernels: dict[str, Kernel] = {}
        self.globals: dict[str, bytes] = {}
        self.shared: dict[str, tuple[int, int]] = {}
        """The alignment and size of each variable in shared memory that is no kernel's own."""
        self.dynamic_shared: set[str] = set()
        bodies = list(_ENTRY.finditer(text))
        for match in _GLOBAL.finditer(text[: bodies[0].start()] if bodies else text):
            self._declare(bool(match[1]), match[2], match[3].strip())
        for match in bodies:
            kernel = Kernel(match[1], *_parameters(match[2]))
            _Body(kernel, _statements(text, match.end())).read()
            self.kernels[match[1]] = kernel

    def _declare(self, is_extern: bool, space: str, text: str) -> None:
        match = _VARIABLE.match(text)
        if match is None:
            raise ValueError(f"a variable is declared as {text!r}")
        if is_extern:
            self.dynamic_shared.add(match[3])
        elif space == "shared":
            self.shared[match[3]] = int(match[1] or 1), _size(match[2]) * int(match[4] or 1)
        else:
            self.globals[match[3]] = _contents(_size(match[2]), match[4], match[5])


def _size(kind: str) -> int:
    """Bytes of a type such as f32 or b8."""
    return int(re.sub(r"\D", "", kind)) // 8


def _contents(size: int, count: str | None, values: str | None) -> bytes:
    numbers = [int(each, 0) for each in values.strip("{} \n").split(",")] if values else []
    n = int(count) if count else 1
    data = b"".join((each % (1 << 8 * size)).to_bytes(size, "little") for each in numbers)
    return data.ljust(n * size, b"\0")


def _parameters(text: str) -> tuple[dict[str, int], int]:
    """The offset of each parameter, and their bytes in all."""
    offsets, total = {}, 0
    for align, kind, name, count in _PARAMETER.findall(text):
        size = _size(kind) * int(count or 1)
        alignment = int(align or _size(kind))
        total = -(-total // alignment) * alignment
        offsets[name] = total
        total += size
    return offsets, total


def _statements(text: str, start: int) -> Iterator[str]:
    """The statements of a body up to its end: braces of blocks and labels stand alone, others end with a semicolon."""
    depth, position = 1, start
    while depth:
        while text[position].isspace():
            position += 1
        if text[position] in "{}":
            depth += 1 if text[position] == "{" else -1
            yield text[position]
            position += 1
        elif label := _LABEL.match(text, position):
            yield label[0]
            position = label.end()
        else:
            end = text.index(";", position)
            yield " ".join(text[position:end].split())
            position = end + 1


class _Body:
    """The reader of one kernel's statements; blocks have names of their own."""

    def __init__(self, kernel: Kernel, statements: Iterator[str]) -> None:
        self._kernel = kernel
        self._statements = list(statements)[:-1]
        self._scopes: list[dict[str, str]] = [{}]
        self._n_scopes = 0

    def read(self) -> None:
        for position, statement in enumerate(self._statements):
            if statement == "{":
                self._scopes.append({})
                self._n_scopes += 1
                self._find_labels(position)
            elif statement == "}":
                self._scopes.pop()
            elif statement.endswith(":"):
                self._kernel.labels[self._resolve(statement[:-1])] = len(self._kernel.instructions)
            elif statement.startswith("."):
                self._declare(statement)
            elif statement:
                self._kernel.instructions.append(self._instruction(statement))

    def _find_labels(self, position: int) -> None:
        """Labels of a block may be named before they come."""
        depth = 0
        for statement in self._statements[position:]:
            depth += {"{": 1, "}": -1}.get(statement, 0)
            if not depth:
                return
            if depth == 1 and statement.endswith(":"):
                self._scopes[-1][statement[:-1]] = f"{statement[:-1]}#{self._n_scopes}"

    def _resolve(self, name: str) -> str:
        return next((scope[name] for scope in reversed(self._scopes) if name in scope), name)

    def _declare(self, statement: str) -> None:
        kind, _, rest = statement[1:].partition(" ")
        if kind == "reg":
            self._declare_registers(rest)
        elif kind in ("shared", "local"):
            match = _VARIABLE.match(rest)
            if match is None:
                raise ValueError(f"a variable is declared as {statement!r}")
            align, size = int(match[1] or 1), _size(match[2]) * int(match[4] or 1)
            total = getattr(self._kernel, f"{kind}_bytes")
            offset = -(-total // align) * align
            getattr(self._kernel, kind)[match[3]] = offset
            setattr(self._kernel, f"{kind}_bytes", offset + size)
        elif kind not in ("pragma", "loc", "maxntid", "minnctapersm"):
            raise ValueError(f"the directive {statement!r} is not known")

    def _declare_registers(self, text: str) -> None:
        kind, _, names = text[1:].partition(" ")
        for each in names.split(","):
            name = each.strip()
            if match := re.match(r"(%\w+)<(\d+)>$", name):
                self._kernel.registers |= {f"{match[1]}{i}": kind for i in range(int(match[2]))}
                continue
            if len(self._scopes) > 1:
                self._scopes[-1][name] = f"{name}#{self._n_scopes}"
            self._kernel.registers[self._resolve(name)] = kind

    def _instruction(self, statement: str) -> Instruction:
        rest, guard = statement, None
        if statement.startswith("@"):
            name, rest = statement[1:].split(" ", 1)
            guard = self._resolve(name.lstrip("!")), name.startswith("!")
        opcode, _, operands = rest.strip().partition(" ")
        parsed = tuple(self._operand(each) for each in _split(operands))
        return Instruction(tuple(opcode.split(".")), parsed, guard, statement)

    def _operand(self, text: str) -> Operand:
        if "|" in text:
            return Vector(tuple(Name(self._resolve(each)) for each in text.split("|")))
        if text.startswith("{"):
            parts = (self._operand(each) for each in _split(text[1:-1]))
            return Vector(tuple(each for each in parts if isinstance(each, Immediate | Name)))
        if text.startswith("["):
            return self._address(text[1:-1].strip())
        if text[:2] in ("0f", "0F", "0d", "0D"):
            return Immediate(int(text[2:], 16))
        if _NUMBER.match(text):
            return Immediate(int(text.rstrip("U"), 0))
        return Name(self._resolve(text))

    def _address(self, text: str) -> Address:
        base, _, offset = text.partition("+")
        base = base.strip()
        if _NUMBER.match(base):
            return Address(None, int(base, 0))
        return Address(self._resolve(base), int(offset.strip() or "0", 0))


def _split(text: str) -> list[str]:
    """Operands between commas, those within braces and brackets together."""
    parts, depth, start = [], 0, 0
    for i, character in enumerate(text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append(text[start:i].strip())
            start = i + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts
