"""From LLVM IR to an object of a level, and from an object to an address: one pipeline on every machine.

The IR of a function and its callees is one module (`kernels.target`). All other functions become private and lose their
names, LLVM's passes run once over the whole, and the object depends on sources and level alone: two machines make the
same bytes.

`PLAIN` is the same without optimisation: shipped code is checked against it, and replaced by it where the self-test
fails.
"""

from __future__ import annotations

from functools import cache
from typing import Any

FAST, PLAIN = "fast", "plain"


def object_of(module: Any, name: str, symbol: str, pipeline: str = FAST) -> bytes:
    """The object file of a module's function `name`, exported as `symbol`."""
    return bytes(_machine(pipeline).emit_object(optimised(module, name, symbol, pipeline)))


def optimised(module: Any, name: str, symbol: str, pipeline: str = FAST) -> Any:
    """A copy of the module after LLVM's passes, from which code is generated."""
    import llvmlite.binding as llvm

    module = module.clone()
    module.name = symbol
    _keep(module, name, symbol)
    machine = _machine(pipeline)
    options = llvm.create_pipeline_tuning_options(speed_level=3 if pipeline == FAST else 0)
    options.loop_vectorization = pipeline == FAST
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    module.verify()
    return module


def _keep(module: Any, name: str, symbol: str) -> None:
    """Make all but one function private, with names that do not depend on Numba's counters."""
    functions = [f for f in module.functions if not f.is_declaration]
    for number, function in enumerate(functions):
        if function.name != name:
            function.linkage = "internal"
            function.name = f"{symbol}.{number}"
    constants = [g for g in module.global_variables if not g.is_declaration]
    for number, constant in enumerate(constants):
        constant.linkage = "internal"
        constant.name = f"{symbol}.constant.{number}"
    module.get_function(name).name = symbol


@cache
def _machine(pipeline: str) -> Any:
    from fastbp.kernels import target

    return target.machine(opt=3 if pipeline == FAST else 0)


class Loader:
    """The machine code of this process: objects in memory, their symbols bound."""

    def __init__(self) -> None:
        import llvmlite.binding as llvm
        from numba.core.base import _load_global_helpers

        from fastbp.kernels import levels, target

        _load_global_helpers()  # or LLVM aborts at the first object that uses one of them
        machine = target.machine(jit=True)
        module = llvm.parse_assembly(f'target triple = "{levels.triple()}"')
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._symbols: set[str] = set()

    def address(self, content: bytes, symbol: str) -> int:
        """Load an object that defines `symbol`; returns the symbol's address."""
        import llvmlite.binding as llvm

        if symbol in self._symbols:
            raise RuntimeError(f"`{symbol}` is loaded already")
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(content))
        self._symbols.add(symbol)
        self._engine.finalize_object()
        return int(self._engine.get_function_address(symbol))
