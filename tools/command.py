# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the commands share: how they end.

It imports no compiler, so that the commands of a device can use it.
"""

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import typer
from typer.exceptions import Abort, TyperException


def run(
    function: Callable[..., int],
    explain: Callable[[Exception], tuple[int, Sequence[str]] | None],
    arguments: Sequence[str],
    **context_settings: object,
) -> NoReturn:
    """Run a command on its arguments and exit with the status that ``function`` returns.

    ``explain`` gives the exit status and the lines for a mistake of the user's, and None for any other
    exception. A mistake in the arguments themselves exits with 2.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(context_settings=context_settings)(function)
    try:
        status = app(list(arguments), standalone_mode=False)
    except TyperException as error:
        status = error.exit_code
        print(f"error: {error.format_message().rstrip('.')}", file=sys.stderr)
    except (Abort, KeyboardInterrupt):
        status = 130
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        status, lines = explained
        for line in lines:
            print(line, file=sys.stderr)
    sys.exit(status or 0)
