"""Errors that are the user's to mend, and how a run says that it was interrupted."""


class InputError(ValueError):
    """Bad input. The message is one line: what was received, what was expected, how to fix it. Exit status 2."""


class Interrupted(Exception):
    """The run was asked to stop (SIGTERM, Ctrl-C). Nothing is lost: the same command continues. Exit status 75."""
