"""Names in C: which may stand before those of functions."""

from __future__ import annotations

import re

from fastbp.errors import ConfigError, ConfigTypeError, brief
from fastbp.export.in_c.source import TEXTS

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
LONGEST = 40  # of external names, compilers need to tell 31 characters apart at least
OF_C = """
auto break case char const continue default do double else enum extern float for goto if inline int long register
restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
"""
OF_CPP = """
and bitand bitor bool catch class compl constexpr const_cast decltype delete dynamic_cast explicit export false friend
mutable namespace new noexcept not nullptr operator or private protected public reinterpret_cast static_assert
static_cast template this thread_local throw true try typeid typename using virtual wchar_t xor asm
"""
OF_LIBRARIES = """
acos asin atan ceil cos cosh erf erfc exp fabs floor fma fmax fmin fmod frexp gamma hypot ldexp lgamma log logb modf nan
pow rint round scalbn signbit sin sinh sqrt tan tanh tgamma trunc main
"""
OF_FILES = "real control bits_of real_of differs"
OF_HEADERS = """
NULL NAN INFINITY errno printf puts putchar stdin stdout stderr memchr memcmp memcpy memmove memset strcmp strlen size_t
abs labs div ldiv malloc free exit index time acosh asinh atanh atan2 cbrt copysign exp2 expm1 fdim ilogb j0 j1 jn
llrint llround log10 log1p log2 lrint lround modf nearbyint nextafter nexttoward remainder remquo scalbln signgam y0 y1
yn isfinite isinf isnan isnormal fpclassify casadi_int casadi_real linux unix
"""
INTEGERS = re.compile(r"u?int(_least|_fast)?(8|16|32|64)_t|u?int(max|ptr)_t|U?INT(8|16|32|64|MAX)_(C|MAX|MIN)")
ALONE = frozenset(OF_HEADERS.split())  # of headers, where a function has the name itself
TAKEN = frozenset(" ".join([OF_C, OF_CPP, OF_LIBRARIES, OF_FILES]).split())


def name_of(stem: str, given: str | None, alone: bool = False) -> str:
    """What names begin with, by default the name of the file; `alone` if a function has nothing behind it."""
    where, name = ("path", stem) if given is None else ("name", given)
    if not isinstance(name, str):
        raise ConfigTypeError(where, "must be a text", f"`{brief(name)}`")
    hint = 'a name is given as `name="net"` (`--name net`)' if given is None else ""
    if not IDENTIFIER.fullmatch(name) or len(name) > LONGEST:
        must = "must have a name" if given is None else "must be a name"
        rest = f"of at most {LONGEST} letters, digits and underscores that begins with a letter"
        raise ConfigError(where, f"{must} {rest}", f"`{name}`", hint=hint)
    if name in TAKEN or name in TEXTS or (alone and _in_headers(name)):
        raise ConfigError(where, "must not be a name that C or the file itself has", f"`{name}`", hint=hint)
    return name


def _in_headers(name: str) -> bool:
    """Whether headers have this name, or it with the letter of float or long double behind it."""
    stem = name[:-1] if name[-1] in "fl" else name
    return name in ALONE or stem in ALONE or stem in OF_LIBRARIES.split() or bool(INTEGERS.fullmatch(name))
