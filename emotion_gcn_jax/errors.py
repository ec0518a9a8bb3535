"""The one exception that is meant for a user's eyes."""

import contextlib
from collections.abc import Iterator


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
