"""Reads YAML text as people mean it: 1e-6 is a number, `no` can be a word, no key stands twice.

PyYAML follows YAML 1.1, in which 1e-6 is text, `no` is false, and the later of two equal keys wins.
"""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from recipes.core.errors import UserError, one_line

# matches: 1e-6, 2.5E3, -1.e+2; PyYAML wants a point and a sign
_SCIENTIFIC = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")

_NULL, _BOOL, _TIMESTAMP, _MERGE = (
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "timestamp", "merge")
)
_SCIENTIFIC_TAG = "!scientific"


@dataclass(frozen=True)
class YamlDocument:
    """A document, as YAML reads it and as it is written.

    Attributes:
        value: with typed scalars: `False` for `no`, `1e-06` for 1e-6.
        written: the same with every scalar as text: "no", "1e-6". Only null, true and false stay
            what they are.
    """

    value: Any
    written: Any


def parse_yaml(text: str, source: str) -> YamlDocument:
    """The document in `text`. Raises `UserError` if it is not valid or a key stands twice.

    Args:
        source: start of the messages, such as "grpo.yaml:".
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return YamlDocument(None, None)
        _refuse_duplicate_keys(node, source)
        # The construction resolves `<<`, so that the text is read from the same keys.
        value = loader.construct_document(node)
        return YamlDocument(value, _as_written(node))
    except UserError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{source} is not valid YAML: {one_line(error)}") from error


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with numbers in scientific notation, and without dates."""


def _construct_scientific(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float | int:
    """1e3 is a whole number, so that it can be a number of steps; 1e-3 and 1.5e0 are not."""
    number = float(node.value)
    return int(number) if number.is_integer() else number


_Loader.add_constructor(_SCIENTIFIC_TAG, _construct_scientific)
# Copies of PyYAML's table: by the first character of a scalar, the types it may have.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _first in "+-.0123456789":
    _Loader.yaml_implicit_resolvers[_first] = [
        (_SCIENTIFIC_TAG, re.compile(f"^(?:{_SCIENTIFIC.pattern})$")),
        *_Loader.yaml_implicit_resolvers.get(_first, []),
    ]


def _refuse_duplicate_keys(node: yaml.Node, source: str) -> None:
    """Raises `UserError` if a mapping in the document has a key twice."""
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_duplicate_keys(child, source)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, child in node.value:
        line = key.start_mark.line + 1
        # Several `<<` are several sources of defaults.
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            if key.value in lines:
                raise UserError(
                    f"{source} the key `{key.value}` is written twice, in lines "
                    f"{lines[key.value]} and {line}; keep one"
                )
            lines[key.value] = line
        _refuse_duplicate_keys(child, source)


def _as_written(node: yaml.Node) -> Any:
    """The text of a node's scalars, in lists and mappings as in the document."""
    if isinstance(node, yaml.SequenceNode):
        return [_as_written(child) for child in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _as_written(child) for key, child in node.value}
    # In YAML 1.2 these three are no text.
    if node.tag == _NULL:
        return None
    if node.tag == _BOOL and node.value.lower() in ("true", "false"):
        return node.value.lower() == "true"
    return node.value
