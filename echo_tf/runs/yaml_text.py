"""YAML as settings are written in: plain types alone, and nothing that is most likely a mistake."""

import re

import yaml


class _Loader(yaml.SafeLoader):
    """Refuses a key given twice, or one that is no string. As in YAML 1.2, only true and false are truth values."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for place, key in enumerate(keys):
            if not isinstance(key, str) or key in keys[:place]:
                what = "given twice" if isinstance(key, str) else "no string"
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is {what}", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_yaml(text: str):
    """The content of YAML text, of plain types alone. Raises ValueError, in whatever way it is not YAML."""
    try:
        return _Loader(text).get_single_data()
    except (yaml.YAMLError, RecursionError, TypeError) as error:
        raise ValueError(str(error) or "it is nested too deeply") from error
