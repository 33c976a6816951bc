"""What a C file begins with: what it asks of a compiler, how subnormals are flushed, bits of numbers."""

from __future__ import annotations

# What a file begins with, behind its includes; `real`, FMA and SQRT are of the network's dtype.
PRELUDE = """
#if defined(__FAST_MATH__)
#error "must be compiled without -ffast-math, which computes other numbers"
#endif
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0
#error "must be compiled for a processor that rounds float and double as such, such as x86-64 or with -msse2"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif
#if defined(__GNUC__)
#define RESTRICT __restrict
#define APART __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))
#else
#define RESTRICT
#define APART
#define INLINE static inline
#endif
"""

# Subnormals count as zero in predictions, so they do here, where a processor can be told.
FLUSH = """
#if !defined({upper}_KEEP_SUBNORMALS) && defined(__GNUC__) && defined(__SSE__)
#define FLUSH const unsigned before = __builtin_ia32_stmxcsr(); __builtin_ia32_ldmxcsr(before | 0x8040u);
#define RESTORE __builtin_ia32_ldmxcsr(before);
#elif !defined({upper}_KEEP_SUBNORMALS) && defined(__GNUC__) && defined(__aarch64__)
#define READ "mrs %0, fpcr"
#define WRITE "msr fpcr, %0"
typedef uint64_t control_word;
#elif !defined({upper}_KEEP_SUBNORMALS) && defined(__GNUC__) && defined(__arm__) && defined(__ARM_FP)
#define READ "vmrs %0, fpscr"
#define WRITE "vmsr fpscr, %0"
typedef uint32_t control_word;
#endif
#if defined(READ)
static inline control_word control(void)
{{
    control_word found;
    __asm__ __volatile__(READ : "=r"(found));
    return found;
}}
#define FLUSH const control_word before = control(); \\
    __asm__ __volatile__(WRITE : : "r"(before | (1u << 24)) : "memory");
#define RESTORE __asm__ __volatile__(WRITE : : "r"(before) : "memory");
#elif !defined(FLUSH)
#define FLUSH
#define RESTORE
#endif
"""

BITS = """
static inline {integer} bits_of({real} x)
{{
    union {{ {real} number; {integer} bits; }} both;
    both.number = x;
    return both.bits;
}}

static inline {real} real_of({integer} x)
{{
    union {{ {real} number; {integer} bits; }} both;
    both.bits = x;
    return both.number;
}}
"""
