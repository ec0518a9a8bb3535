"""The one exception that is meant for a user's eyes."""


class UserError(ValueError):
    """A mistake or a missing thing that the user can act on.

    Its message is one sentence (what was expected, what was found, where, what to do). The command lines print it
    without a traceback and exit with status 2; code that imports the package may catch it.
    """
