"""What the name of a file, of an array in it or of a folder says: which split it is of, and what it holds."""

import re
from pathlib import Path
from typing import NamedTuple

SPLITS = ("train", "valid", "test")

_SPLIT_OF = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("valid", "validation", "val"), "valid"),
    **dict.fromkeys(("test", "testing", "tst", "t10k"), "test"),
}
_ROLE_OF = {
    **dict.fromkeys(("x", "data", "image", "images", "img", "imgs", "pixels", "fea", "examples", "samples"), "examples"),
    **dict.fromkeys(("y", "label", "labels", "lbl", "lbls", "target", "targets", "class", "gnd"), "labels"),
    **dict.fromkeys(("factor", "factors", "latentsclasses"), "factors"),
    **dict.fromkeys(("classnames", "labelnames", "listclasses"), "class names"),
    **dict.fromkeys(("factornames",), "factor names"),
}
_SAYS_NOTHING = ("set", "split", "idx1", "idx2", "idx3", "idx4", "ubyte")
_WORDS = sorted([*_SPLIT_OF, *_ROLE_OF, *_SAYS_NOTHING], key=len, reverse=True)
LABEL_COLUMNS = ("label", "labels", "target", "targets", "class", "y")


class Meaning(NamedTuple):
    """role: "examples", "labels", "factors", "class names" or "factor names". split: "train", "valid", "test" or None."""

    role: str
    split: str | None


def meaning(key: str) -> Meaning | None:
    """What an array's name means, None for a name that is not understood as a whole: "X_train", "test/labels", "valdata".

    Groups of an HDF5 file whose names are not understood are passed over.
    """
    *groups, last = key.strip("/").split("/")
    understood = [words for words in map(_understood, groups) if words]
    words = _understood(last)
    return _meaning([word for part in [*understood, words] for word in part]) if words else None


def of_file(path) -> Meaning:
    """What a file's or folder's name says, from those of its words that are understood; examples unless it says otherwise."""
    name = Path(path).name
    stem = re.sub(r"(\.(gz|csv|tsv|txt|amat|mat|np[yz]|h5|hdf5|idx\d?))+$", "", name, flags=re.I)
    words = [word for token in _tokens(stem) for word in _segments(token) or ()]
    return _meaning(words, every=False) or Meaning("examples", None)


def split_named(name: str) -> str | None:
    """The split that a folder of exactly this name holds, or None."""
    return _SPLIT_OF.get(name.lower())


def _meaning(words, every=True):
    splits = {_SPLIT_OF[word] for word in words if word in _SPLIT_OF}
    roles = {_ROLE_OF[word] for word in words if word in _ROLE_OF}
    if len(splits) > 1:
        return None if every else Meaning(_strongest(roles), None)
    if not splits and not roles:
        return None
    return Meaning(_strongest(roles), next(iter(splits), None))


def _strongest(roles):
    """ "labels_of_images" are labels."""
    order = ("factor names", "class names", "factors", "labels")
    return next((role for role in order if role in roles), "examples")


def _tokens(text):
    return re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower())


def _understood(text):
    """The words of a name, None if a part of it is not one: "testdata" is "test" and "data", "latest" is nothing."""
    joined = "".join(_tokens(text))
    if joined in _ROLE_OF:  # "class_names"
        return [joined]
    found = [_segments(token) for token in _tokens(text)]
    return [word for words in found for word in words] if found and None not in found else None


def _segments(token):
    if not token:
        return []
    for word in _WORDS:
        rest = _segments(token[len(word) :]) if token.startswith(word) else None
        if rest is not None:
            return [word, *rest]
    return None
