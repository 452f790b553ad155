"""How Numba compiles what is only called by kernels: to code to be linked into them, and no further.

Numba would optimize each helper and turn it into machine code of its own, which nothing ever calls: a quarter of the
time that kernels take to compile.
"""

from typing import Any, cast

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _LinkedCode(JITCodeLibrary):
    """The code of a helper, which the kernel it is linked into optimizes and compiles."""

    @property
    def codegen(self) -> Any:
        """What Numba tells, once a function has an address, where its Python objects are; a helper has neither."""
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Leave the helper without Python objects."""

    def get_pointer_to_function(self, name: str) -> int:
        """Make the code ready to be linked; 0, which says that it has no address."""
        cast("Any", self)._ensure_finalized()
        return 0

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


class HelperCompiler(Compiler):
    """Numba's compiler for functions that only compiled code calls."""

    def __init__(self, typing_context: Any, target_context: Any, library: Any, *rest: Any) -> None:
        """Take Numba's arguments; the library, in which the code will be, is one of ours."""
        code = cast("Any", _LinkedCode)(target_context.codegen(), "helper")
        cast("Any", super()).__init__(typing_context, target_context, code, *rest)
