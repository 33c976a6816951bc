"""A command that several ranks run: the first speaks for all, and one that fails alone ends all with one message."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from fastbp.errors import FastbpError, line

if TYPE_CHECKING:
    from fastbp.train.ranks import Ranks


def together(ranks: Ranks, work: Callable[[], int]) -> int:
    """Do the work on this rank; returns the exit code."""
    from fastbp.train.ranks import AT_FIRST
    from fastbp.train.together import end_if_alone

    ranks.patience = AT_FIRST
    said = sys.stderr

    def report(error: BaseException) -> None:
        print(f"fastbp: {sentence(error, ranks)}", file=said, flush=True)

    ranks.report = report
    with contextlib.ExitStack() as stack:
        if ranks.rank:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        try:
            code = work()
            return ranks.failed(code).get(0, code)  # the others are told how it ended
        except BaseException as error:
            code = end_if_alone(ranks, error, code_of(error))
            if ranks.rank:
                return code
            raise


def sentence(error: BaseException, ranks: Ranks) -> str:
    """Why one rank ends all."""
    name = type(error).__name__
    if isinstance(error, FastbpError):
        why = str(error.at(hint=None))
    else:
        why = "out of memory" if isinstance(error, MemoryError) else line(f"{name}: {error}" if str(error) else name)
    said = FastbpError(f"rank {ranks.rank} of {ranks.count} failed, so all stop: {why}", hint=ranks.hint)
    return str(said)


def code_of(error: BaseException) -> int:
    """The exit code for whatever ends a command."""
    from fastbp.cli import main

    if isinstance(error, click.ClickException):
        return 2
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return 130
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return main.code_of(error)
