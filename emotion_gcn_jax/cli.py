"""The command `emotion-gcn`: arguments in, one line for every mistake out; the work is done by the rooms below.

Each subcommand is a pair of functions, one that describes its arguments and one that runs it; the latter imports what
it needs, so that `--help` answers at once.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from emotion_gcn_jax.errors import UserError

MISTAKE = 2  # the exit status of a user's mistake, argparse's own
STOPPED = 130  # that of a run which the user interrupted

Subparsers = argparse._SubParsersAction


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand.

    Args:
        arguments: the command line after the program's name; None takes the process's own.

    Returns:
        The exit status: 0, 1 where some of the inputs failed, 2 for a mistake in the command, 130 when interrupted.
    """
    parsed = _parser().parse_args(arguments)
    try:
        from emotion_gcn_jax import runtime

        runtime.set_up()
        return parsed.run(parsed)
    except UserError as error:
        print(f"emotion-gcn: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("\nemotion-gcn: stopped.", file=sys.stderr)
        return STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="emotion-gcn",
        description="Expressions, valence and arousal of faces, by Emotion-GCN.",
        epilog="emotion-gcn SUBCOMMAND --help shows the arguments of one, with an example.",
    )
    subparsers = parser.add_subparsers(metavar="SUBCOMMAND", required=True)
    for add in SUBCOMMANDS:
        add(subparsers)
    return parser


def _add(
    subparsers: Subparsers, name: str, run: Callable[[argparse.Namespace], int], summary: str, example: str
) -> argparse.ArgumentParser:
    """Adds a subcommand whose help ends with an example."""
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


SUBCOMMANDS: tuple[Callable[[Subparsers], None], ...] = ()


if __name__ == "__main__":
    sys.exit(main())
