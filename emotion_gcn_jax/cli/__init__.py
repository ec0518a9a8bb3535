"""The command line. A file a subcommand: `add` describes its arguments, what runs it imports what it needs.

So `--help` answers at once.
"""

from emotion_gcn_jax.cli.command import main

__all__ = ["main"]
