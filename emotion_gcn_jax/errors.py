"""The one exception that is meant for a user's eyes, and how names from files stand in its message."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator

_LONGEST_NAME = 80  # characters; the longest tensor name of a DenseNet-121 has 60


class UserError(ValueError):
    """A mistake or a missing thing that the user can act on.

    Its message is one sentence (what was expected, what was found, where, what to do). The command lines print it
    without a traceback and exit with status 2; code that imports the package may catch it.
    """


@contextlib.contextmanager
def extra(name: str, what: str) -> Iterator[None]:
    """Around imports of packages that only an extra of this package brings.

    Args:
        name: the extra's.
        what: what needs it, for the message.

    Raises:
        UserError: one of the packages is not installed; it names the command that installs them.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"{what[0].upper()}{what[1:]} needs {error.name}, which is not installed: run pip install "
            f"'emotion-gcn-jax[{name}]'."
        ) from None


def cannot_write(path: object, error: OSError) -> UserError:
    """What to raise where a file or a folder cannot be written."""
    return UserError(f"{path} cannot be written ({error.strerror or error}): choose another place.")


def shown(text: str) -> str:
    """A text from a file, fit for a message: printable, on one line, and cut after 80 characters."""
    start = text[: _LONGEST_NAME + 1]
    safe = start if start.isprintable() else ascii(start)
    return safe if len(safe) <= _LONGEST_NAME else f"{safe[:_LONGEST_NAME]}..."


def counted(number: int, noun: str) -> str:
    """A number of things for a message, such as "1 piece" or "12,000 pieces"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Iterable[str], most: int = 10) -> str:
    """Names for a message, such as "a, b, c and 37 more".

    Args:
        names: any number of them, of any length; each is `shown`.
        most: how many to name before the rest is counted.
    """
    names = iter(names)
    first = ", ".join(shown(name) for name in itertools.islice(names, most))
    rest = sum(1 for _ in names)
    return f"{first} and {rest} more" if rest else first
