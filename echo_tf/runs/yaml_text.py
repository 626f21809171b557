"""YAML as settings are written in: plain types alone, read as people mean them, and nothing that is most likely a mistake."""

import re

import yaml

DECIMAL = re.compile(r"[-+]?[0-9]+")
FRACTION = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
TRUTH = re.compile("true|True|TRUE|false|False|FALSE")
OLDER = ("bool", "int", "float", "timestamp")  # what YAML 1.1 reads otherwise


class _Loader(yaml.SafeLoader):
    """Refuses a key given twice, or one that is no string.

    As in YAML 1.2, numbers are decimal and only true and false are truth values: 010 is ten, 3e-4 a number, and yes, 1:30, 1_0
    and 2020-01-01, of which YAML 1.1 makes true, 90, 10 and a date, are text.
    """

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag.rpartition(":")[2] not in OLDER]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for place, key in enumerate(keys):
            if not isinstance(key, str) or key in keys[:place]:
                what = "given twice" if isinstance(key, str) else "no string"
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is {what}", node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_number(self, node):
        text = self.construct_scalar(node)
        kind, pattern = (int, DECIMAL) if node.tag.endswith("int") else (float, FRACTION)
        if not pattern.fullmatch(text):  # that a tag says so
            raise yaml.constructor.ConstructorError(None, None, f"{text!r} is no decimal number", node.start_mark)
        return kind(text.lower().replace(".inf", "inf").replace(".nan", "nan") if kind is float else text)


NUMBERS = (("int", DECIMAL, "-+0123456789"), ("float", FRACTION, "-+.0123456789"))
for _name, _pattern, _first in (*NUMBERS, ("bool", TRUTH, "tTfF")):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern.pattern})$"), list(_first))
for _name, *_ in NUMBERS:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", _Loader.construct_number)


def read_yaml(text: str):
    """The content of YAML text, of plain types alone. Raises ValueError, in whatever way it is not YAML."""
    try:
        return _Loader(text).get_single_data()
    except (yaml.YAMLError, RecursionError, TypeError) as error:
        raise ValueError(str(error) or "it is nested too deeply") from error
