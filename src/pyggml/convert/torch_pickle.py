"""What the pickle in a checkpoint of PyTorch says, without running it.

A pickle is a program for a small machine with a stack; what makes it dangerous is that it may call any function. Here
it runs on a machine that knows no functions: of "call this with those arguments" stays a `Call`, and of an outside
object, which is a storage of weights, a `Storage`. Only what `torch.save` writes for tensors in a dict is understood.

The instructions: https://docs.python.org/3/library/pickletools.html
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyggml.errors import CheckpointError
from pyggml.gguf.cursor import quoted


@dataclass(frozen=True)
class Name:
    """What a pickle calls by module and name."""

    module: str
    name: str

    def __str__(self) -> str:
        """As Python writes it."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Call:
    """What would be the result of calling something."""

    function: Name
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Storage:
    """What names a storage of weights."""

    parts: tuple[Any, ...]


_ORDERED_DICT = Name("collections", "OrderedDict")
#: What may be named: what `torch.save` needs for tensors, and the types of storages.
_ALLOWED = frozenset(
    {
        _ORDERED_DICT,
        Name("torch._utils", "_rebuild_tensor_v2"),
        Name("torch._utils", "_rebuild_parameter"),
        *(Name("torch", f"{kind}Storage") for kind in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Bool")),
        *(Name("torch", f"{kind}Storage") for kind in ("Short", "Byte", "Char")),
    }
)


class _Machine:
    """The stack with its marks, the memo, and what each instruction does with them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        constants = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
        pushing = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
        self._instructions: dict[str, Callable[[Any], None]] = {
            **{name: self._constant(value) for name, value in constants.items()},
            **dict.fromkeys(pushing, self._stack.append),
            **dict.fromkeys(("PROTO", "FRAME"), self._nothing),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT"), self._put),
            **dict.fromkeys(("BINGET", "LONG_BINGET"), self._get),
            **{f"TUPLE{n}": self._tuple_of(n) for n in (1, 2, 3)},
            "MARK": lambda _: self._marks.append(len(self._stack)),
            "EMPTY_DICT": lambda _: self._stack.append({}),
            "EMPTY_LIST": lambda _: self._stack.append([]),
            "MEMOIZE": lambda _: self._put(len(self._memo)),
            "TUPLE": lambda _: self._stack.append(tuple(self._above_mark())),
            "APPEND": lambda _: self._append([self._stack.pop()]),
            "APPENDS": lambda _: self._append(self._above_mark()),
            "SETITEM": lambda _: self._set_items([self._stack.pop(), self._stack.pop()][::-1]),
            "SETITEMS": lambda _: self._set_items(self._above_mark()),
            "GLOBAL": lambda argument: self._name(*argument.split(" ", 1)),
            "STACK_GLOBAL": lambda _: self._name(*[self._stack.pop(), self._stack.pop()][::-1]),
            "BINPERSID": lambda _: self._stack.append(Storage(self._stack.pop())),
            "REDUCE": self._call,
            # The state of an OrderedDict: attributes that say nothing of weights.
            "BUILD": lambda _: self._stack.pop(),
        }

    def run(self, data: bytes) -> Any:
        for opcode, argument, place in pickletools.genops(data):
            if opcode.name == "STOP":
                return self._stack.pop()
            instruction = self._instructions.get(opcode.name)
            if instruction is None:
                raise CheckpointError(
                    f"{self._path}: the pickle has the instruction {opcode.name} at byte {place}, which torch.save "
                    "writes for no tensor: this is no checkpoint of weights alone, or a hostile one"
                )
            instruction(argument)
        raise ValueError("it does not end")

    def _constant(self, value: Any) -> Callable[[Any], None]:
        return lambda _: self._stack.append(value)

    def _nothing(self, _: Any) -> None:
        pass

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _tuple_of(self, n: int) -> Callable[[Any], None]:
        def instruction(_: Any) -> None:
            parts = tuple(self._stack[-n:])
            del self._stack[-n:]
            self._stack.append(parts)

        return instruction

    def _above_mark(self) -> list[Any]:
        place = self._marks.pop()
        parts = self._stack[place:]
        del self._stack[place:]
        return parts

    def _append(self, parts: list[Any]) -> None:
        self._stack[-1].extend(parts)

    def _set_items(self, parts: list[Any]) -> None:
        self._stack[-1].update(zip(parts[::2], parts[1::2], strict=True))

    def _name(self, module: str, name: str) -> None:
        wanted = Name(module, name)
        if wanted not in _ALLOWED:
            raise CheckpointError(
                f"{self._path}: the pickle wants to call {quoted(str(wanted))}, which weights do not need: nothing was "
                "run; take the checkpoint in safetensors, or one from a source that you trust"
            )
        self._stack.append(wanted)

    def _call(self, _: Any) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._stack.append({} if function == _ORDERED_DICT else Call(function, arguments))


def read_pickle(path: Path, data: bytes) -> Any:
    """What a pickle says: dicts, lists, tuples, texts and numbers, and `Call`, `Name` and `Storage` in them.

    Raises CheckpointError for an unsound pickle, and for one that names what weights do not need.
    """
    try:
        return _Machine(path).run(data)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path}: the pickle is unsound: {error}") from None
