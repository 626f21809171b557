"""Errors that are the user's to mend, and how a run says that it was interrupted."""

import difflib


class InputError(ValueError):
    """Bad input. The message is one line: what was received, what was expected, how to fix it. Exit status 2."""


class InUse(InputError):
    """Another process is at work on the same run. A study goes on with its other runs and comes back."""


class Interrupted(Exception):
    """The run was asked to stop (SIGTERM, Ctrl-C). Nothing is lost: the same command continues. Exit status 75."""


def nearest(word, words):
    """The end of an error message: the one of `words` that `word` was perhaps meant to be, or nothing."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
