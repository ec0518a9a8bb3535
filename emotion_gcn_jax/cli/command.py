"""The command `emotion-gcn`: reads arguments, calls what does the work, and answers every mistake with one line."""

import argparse
import importlib.metadata
import io
import sys
from collections.abc import Sequence
from typing import Any

from emotion_gcn_jax.cli import convert, evaluate, explain, export, features, graph, pack, predict, serve, summarise
from emotion_gcn_jax.cli.arguments import SOME_FAILED, Subparsers
from emotion_gcn_jax.errors import UserError

MISTAKE = 2  # the exit status of a user's mistake, argparse's own
STOPPED = 130  # that of a run which the user interrupted

SHELLS = ("bash", "zsh")
SUBCOMMANDS = (predict, evaluate, explain, export, summarise, features, graph, convert, pack, serve)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand.

    Args:
        arguments: the command line after the program's name; None takes the process's own.

    Returns:
        The exit status: 0, 1 where some of the inputs failed, 2 for a mistake in the command, 130 when interrupted.
    """
    parsed = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may hold what the terminal has no sign for
    from emotion_gcn_jax import runtime

    try:
        runtime.set_up()
        status = parsed.run(parsed)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output has read enough, as `head` does
        runtime.drop_output()
        return SOME_FAILED
    except UserError as error:
        print(f"emotion-gcn: {error}", file=sys.stderr)
        return MISTAKE
    except OSError as error:  # such as a name that is longer than the system takes; others are met where they happen
        if error.filename is None:
            raise
        print(f"emotion-gcn: {error.filename} cannot be used ({error.strerror}): choose another.", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("\nemotion-gcn: stopped.", file=sys.stderr)
        return STOPPED


def parser() -> argparse.ArgumentParser:
    """The whole command line, ready to read arguments."""
    command = argparse.ArgumentParser(
        prog="emotion-gcn",
        description="What faces express: expressions, valence and arousal, action units.",
        epilog="example:\n  emotion-gcn predict photo.jpg      (emotion-gcn predict --help says what else it takes)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--version", action=_Version, nargs=0, help="show the version and stop")
    command.add_argument(
        "--completion", action=_Completion, choices=SHELLS, metavar="SHELL", help="print what completes it: bash or zsh"
    )
    subparsers = command.add_subparsers(metavar="SUBCOMMAND", required=True)
    for subcommand in SUBCOMMANDS:
        subcommand.add(subparsers)
    return command


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        parser.exit(message=f"emotion-gcn-jax {importlib.metadata.version('emotion-gcn-jax')}\n")


class _Completion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, shell: Any, *rest: Any) -> None:
        import shtab

        (subparsers,) = (action for action in parser._actions if isinstance(action, Subparsers))
        for action in (action for each in subparsers.choices.values() for action in each._actions):
            if action.nargs != 0 and action.choices is None:
                action.complete = shtab.FILE  # as shells complete a word that they know nothing of
        try:
            print(shtab.complete(parser, shell), flush=True)
        except BrokenPipeError:  # whoever read it has read enough
            from emotion_gcn_jax import runtime

            runtime.drop_output()
        parser.exit()
