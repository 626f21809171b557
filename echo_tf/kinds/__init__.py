"""Kinds of run: the module NAME here is the kind `kind: NAME` of a study. README.md says what a kind gives.

Kinds of one's own may also stand in the folders that the variable ECHO_TF_KINDS lists.
"""

import os

__path__ = [*__path__, *filter(None, os.environ.get("ECHO_TF_KINDS", "").split(os.pathsep))]
