"""`vipcast`: understands the command line, runs the command, and turns every failure into a sentence.

Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from daemon.cli.call import FAILED, MISUSED, OK, Call, CommandError
from daemon.cli.commands import grammar
from daemon.cli.grammar import Grammar, UsageError
from daemon.cli.output import Output, terminal_output

INTERRUPTED = 130
OUTPUT_IS_FULL = frozenset({errno.ENOSPC, errno.EIO})


def main(argv: Sequence[str] | None = None) -> int:
    """The console script."""
    arguments = tuple(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ("__complete",):
        from daemon.cli import completing  # noqa: PLC0415 - start-up time

        return completing.main(arguments[1:])
    environment = dict(os.environ)
    out = terminal_output(environment)
    try:
        code = run(arguments, out, environment)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has enough of it.  Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.write(f"Error: the output cannot be written: {error.strerror or error}\n")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def run(arguments: Sequence[str], out: Output, environment: dict[str, str]) -> int:
    """One command line, from words to an exit code; raises KeyboardInterrupt and what befalls the output."""
    table = grammar()
    out.json_wanted = "--json" in arguments
    try:
        return _run(tuple(arguments), out, environment, table)
    except UsageError as error:
        return _complain_usage(error, out, table)
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in OUTPUT_IS_FULL and error.filename is None:
            raise
        return _complain(error, out, debug="--debug" in arguments or bool(environment.get("VIPCAST_DEBUG")))


def _run(arguments: tuple[str, ...], out: Output, environment: dict[str, str], table: Grammar) -> int:
    invocation = table.parse(arguments)
    if "--version" in invocation.options:
        from importlib.metadata import version  # noqa: PLC0415 - start-up time

        out.line(f"vipcast {version('vipcast')}")
        return OK
    if invocation.command is None or "--help" in invocation.options:
        from daemon.cli.help import usage  # noqa: PLC0415 - start-up time

        words = invocation.command.words if invocation.command else ()
        out.lines(usage(table, words))
        return OK if "--help" in invocation.options else MISUSED
    module, _, function = invocation.command.handler.partition(":")
    handler = getattr(import_module(module), function)
    code: int = handler(Call(invocation, arguments, out, environment))
    return code


def _complain_usage(error: UsageError, out: Output, table: Grammar) -> int:
    if out.json_wanted:
        _json_problem(out, str(error), "usage", ())
        return MISUSED
    out.note(f"Error: {error}")
    if error.command is not None:
        out.note(f"Usage: {table.resolve(error.command).synopsis}")
    out.note("See 'vipcast help'.")
    return MISUSED


def _complain(error: Exception, out: Output, *, debug: bool) -> int:
    sentence, code, findings = _told(error)
    if sentence is None:
        sentence = f"vipcast failed at something it should not have ({type(error).__name__}: {error})"
        code = "internal"
        if debug:
            import traceback  # noqa: PLC0415 - only for those who look for the fault

            out.note("".join(traceback.format_exception(error)).rstrip())
        else:
            sentence += "; add --debug for the details"
    if out.json_wanted:
        _json_problem(out, sentence, code, findings)
        return FAILED
    if code == "refused" and findings:
        for finding in findings:
            out.note(str(finding))
        out.note("Nothing has changed.")
        return FAILED
    out.note(f"Error: {sentence}")
    for finding in findings:
        out.note(f"  {finding}")
    return FAILED


def _told(error: Exception) -> tuple[str | None, str, tuple[object, ...]]:
    """(sentence, code, findings) of an error that was meant for the user; no sentence for a fault of our own."""
    if isinstance(error, CommandError):
        return str(error), error.code, error.findings
    client = sys.modules.get("daemon.control.client")
    if client is not None and isinstance(error, client.RefusalError):
        return str(error), error.problem.code, error.problem.findings
    if client is not None and isinstance(error, client.ControlError):
        return str(error), "unreachable", ()
    model = sys.modules.get("daemon.model.findings")
    if model is not None and isinstance(error, model.Refused):
        return "this cannot be done, nothing has changed", "refused", error.findings
    keys = sys.modules.get("daemon.keys")
    if keys is not None and isinstance(error, keys.KeyFileError):
        return str(error), "key-file", ()
    return None, "internal", ()


def _json_problem(out: Output, sentence: str, code: str, findings: tuple[object, ...]) -> None:
    import msgspec  # noqa: PLC0415 - start-up time

    with contextlib.suppress(BrokenPipeError):
        out.note(msgspec.json.encode({"error": sentence, "code": code, "findings": findings}).decode())


if __name__ == "__main__":
    sys.exit(main())
