"""fastbp as a target of Numba's: Numba reads, types and lowers our functions, and stops there.

What comes out of it is the LLVM IR of one function with all that it calls, neither optimised nor compiled;
`engine.machine_code` does the rest, once for the whole. So a helper never becomes machine code by itself. In Numba's
own pipeline it does, and its IR is linked into its callers afterwards, when code generation has rewritten it for one
processor; on some of them stores were lost on that way (see `memory.pointer`).

The target is one of its own, so the user's functions, and Numba's settings for them, are not touched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import _dynfunc
from numba.core import cgutils, codegen, compiler, dispatcher, externals, sigutils, typing
from numba.core.callwrapper import PyCallWrapper
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu import CPUContext
from numba.core.registry import CPUDispatcher, CPUTarget
from numba.core.target_extension import (
    CPU,
    dispatcher_registry,
    jit_registry,
    target_override,
    target_registry,
)

from fastbp.kernels import levels

NAME = "fastbp"


class Library(codegen.CPUCodeLibrary):
    """The IR of one function and, once finalised, of all that it calls."""

    def add_llvm_module(self, module: Any) -> None:
        self._final_module.link_in(module)

    def add_linking_library(self, library: Any) -> None:
        if not isinstance(library, Library):
            raise TypeError(f"{library} was compiled for another target and cannot be part of {self}")
        super().add_linking_library(library)

    def finalize(self) -> None:
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


class Generator(codegen.CPUCodegen):
    """Makes empty modules laid out for the platform; it has no engine and generates no code."""

    _library_class = Library

    def __init__(self) -> None:
        self._triple = levels.triple()
        self._rtlinker = codegen.RuntimeLinker()
        self._target_data = machine().target_data
        self._data_layout = str(self._target_data)

    def _create_empty_module(self, name: str) -> ir.Module:
        module = ir.Module(cgutils.normalize_ir_text(name))
        module.triple = self._triple
        module.data_layout = self._data_layout
        return module

    def _add_module(self, module: Any) -> None:
        raise AssertionError("nothing is compiled here")

    _customize_tm_features = _customize_tm_options = _add_module


class Wrapper(PyCallWrapper):
    """What Python calls. Of Numba's table of constants, in which our functions have no entries, it knows nothing."""

    def get_env(self, api: Any, builder: Any) -> Any:
        slot = self.context.declare_env_global(builder.module, self.context.get_env_name(self.fndesc))
        environment = builder.load(slot)
        return api.get_env_manager(self.env, self.context.get_env_body(builder, environment), environment)


class _Quiet:
    """Looks for new registrations when a function is asked for, not again for each function that it calls."""

    frozen = False

    def refresh(self) -> None:
        if not self.frozen:
            super().refresh()  # type: ignore[misc]


class Types(_Quiet, typing.Context):
    """What typing asks."""


class Context(_Quiet, CPUContext):
    """What lowering asks: the CPU's answers, but for what would run or be compiled."""

    def init(self) -> None:
        self.is32bit = False
        self._internal_codegen = Generator()
        externals.c_math_functions.install(self)

    def get_function(self, fn: Any, sig: Any, _firstcall: bool = True) -> Any:
        """Numba's, which looks for new registrations only where it finds none: min and max register when called."""
        try:
            return super().get_function(fn, sig, False)
        except NotImplementedError:
            super(_Quiet, self).refresh()
            return super().get_function(fn, sig, False)

    def post_lowering(self, module: Any, library: Any) -> None:
        """Numba would link its counting of references here, of which our functions have none."""

    def create_cpython_wrapper(
        self, library: Any, fndesc: Any, env: Any, call_helper: Any, release_gil: bool = False
    ) -> None:
        module = self.create_module("wrapper")
        kind = self.call_conv.get_function_type(fndesc.restype, fndesc.argtypes)
        callee = ir.Function(module, kind, fndesc.llvm_func_name)
        Wrapper(self, module, callee, fndesc, env, call_helper=call_helper, release_gil=release_gil).build()
        library.add_ir_module(module)

    def get_executable(self, library: Any, fndesc: Any, env: Any) -> Any:
        """Something to remember the function by; it cannot be called."""
        library._ensure_finalized()
        return object()


class Descriptor(CPUTarget):
    """Our own contexts, apart from those of the user's functions."""

    @cached_property
    def target_context(self) -> Context:
        return Context(self.typing_context, NAME)

    @cached_property
    def typing_context(self) -> Types:
        return Types()


class Target(CPU):
    """A CPU, to everything that Numba knows how to lower."""


target_registry[NAME] = Target
DESCRIPTOR = Descriptor(NAME)


class _Compiler(dispatcher._FunctionCompiler):
    """Lowers a function without the wrappers that Python or C would call it by."""

    def _customize_flags(self, flags: Any) -> Any:
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        return flags


class Function(CPUDispatcher):
    """A function of our target: other functions can call it, Python cannot."""

    targetdescr = DESCRIPTOR

    def __init__(self, py_func: Callable[..., Any], targetoptions: dict[str, Any]) -> None:
        super().__init__(py_func, targetoptions=targetoptions)
        self._compiler = _Compiler(py_func, DESCRIPTOR, targetoptions, {}, compiler.Compiler)

    def compile(self, sig: Any) -> Any:
        args = tuple(sigutils.normalize_signature(sig)[0])
        if args not in self.overloads:
            self.overloads[args] = self._compiler.compile(args, None)
        return self.overloads[args].entry_point

    def _compile_for_args(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"`{self.py_func.__name__}` is part of compiled code and cannot be called from Python")


def jit(function: Any = None, **options: Any) -> Any:
    """Numba's decorator of our target, for those of its own functions that ours call (min, max)."""
    if function is None:
        return lambda f: jit(f, **options)
    options.pop("inline", None)
    return Function(function, {"nopython": True, **options})


dispatcher_registry[Target] = Function
jit_registry[Target] = jit


@contextmanager
def _refreshed() -> Iterator[None]:
    for context in (DESCRIPTOR.typing_context, DESCRIPTOR.target_context):
        context.refresh()
    _Quiet.frozen = True
    try:
        yield
    finally:
        _Quiet.frozen = False


def lower(
    function: Callable[..., Any], signature: Any, options: dict[str, Any], *, for_python: bool
) -> tuple[Any, str]:
    """The IR of a function and the name in it of what C calls, or Python where `for_python` is set."""

    class Wrapped(dispatcher._FunctionCompiler):
        def _customize_flags(self, flags: Any) -> Any:
            flags.no_cpython_wrapper, flags.no_cfunc_wrapper = not for_python, for_python
            flags.nrt = False
            return flags

    with global_compiler_lock, target_override(NAME), _refreshed():
        made = Wrapped(function, DESCRIPTOR, {"nopython": True, **options}, {}, compiler.Compiler)
        result = made.compile(tuple(signature.args), signature.return_type)
        library, names = result.library, result.fndesc
        library._ensure_finalized()
    return library._final_module, names.llvm_cpython_wrapper_name if for_python else names.llvm_cfunc_wrapper_name


def machine(opt: int = 3, jit: bool = False) -> Any:
    """LLVM's idea of the processor of this level: the one tuning that its code is made with.

    On x86-64 an object's code and constants may come to lie anywhere, so addresses are whole words; on Arm the loader
    puts them next to each other.
    """
    codegen.initialize_llvm()
    if levels.level() not in levels.runnable():
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    anywhere = levels.level().machine == "x86_64"
    reloc, model = ("static", "large") if anywhere else ("pic", "small")
    target = llvm.Target.from_triple(levels.triple())
    return target.create_target_machine(
        cpu=levels.level().cpu, features=levels.level().features, opt=opt, reloc=reloc, codemodel=model, jit=jit
    )


class Entry(CPUDispatcher):
    """A compiled function that Python calls: values of other types than it was compiled for raise a TypeError."""

    targetdescr = DESCRIPTOR
    nopython_signatures: tuple[Any, ...] = ()  # with which arrays that may be written go where they are only read
    wrapper: Any  # kept here, since the dispatcher holds no reference of its own


def callable_at(address: int, function: Callable[..., Any], signature: Any) -> Any:
    """What calls the machine code at `address`, made by `lower(function, signature, for_python=True)`."""
    name = function.__name__
    module = sys.modules[function.__module__]
    wrapper = _dynfunc.make_function(module, name, function.__doc__, address, _dynfunc.Environment({}), ())
    entry = Entry(function)
    entry.nopython_signatures, entry.wrapper = (signature,), wrapper
    entry._insert([argument._code for argument in signature.args], wrapper, False)
    entry._can_compile = False
    return entry
