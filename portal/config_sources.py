"""Reads the configuration's sources, and explains what is wrong in them and where."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from federated.errors import InvalidInput

ROOT = "federated"
PREFIX = "FEDERATED__"
# The sections, and the keys that each may hold.
Keys = dict[str, list[str]]


class ConfigInvalid(InvalidInput):
    """A key or value of the configuration that is not allowed; the message names each path."""

    code = "config_invalid"
    title = "The configuration is not valid"


def read_file(file: Path, keys: Keys) -> dict[str, Any]:
    """The sections of a YAML file."""
    try:
        content = yaml.safe_load(file.read_text())
    except OSError as error:
        raise ConfigInvalid(f"{file}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{file}: is not YAML ({error})") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or set(content) - {ROOT}:
        raise ConfigInvalid(f'{file}: the only key at the top is "{ROOT}"')
    sections = content.get(ROOT) or {}
    if not isinstance(sections, dict):
        raise ConfigInvalid(f"{file}: {ROOT}: must hold sections: {', '.join(keys)}")
    for name in sections:
        if name not in keys:
            raise ConfigInvalid(
                f"{ROOT}.{name}: unknown key; allowed: {', '.join(keys)} (from {file})"
            )
    # An empty section in YAML is null; it means the defaults.
    return {name: {} if value is None else value for name, value in sections.items()}


def refuse_unknown_environment(keys: Keys) -> None:
    """pydantic-settings looks only for names that it knows; a typo would pass unseen."""
    for name in os.environ:
        if name.startswith(PREFIX):
            section, _, key = name.removeprefix(PREFIX).partition("__")
            if section.lower() not in keys or not key:
                raise ConfigInvalid(
                    f"{name}: must be {PREFIX}<SECTION>__<KEY>; sections: {', '.join(keys)}"
                )


def _source(
    location: tuple[str | int, ...],
    content: dict[str, Any],
    arguments: dict[str, Any],
    file: Path | None,
) -> str:
    """Which of the three sources a wrong value came from."""

    def holds(tree: Any) -> bool:
        for part in location:
            if not isinstance(tree, dict) or part not in tree:
                return False
            tree = tree[part]
        return True

    variable = PREFIX + "__".join(str(part) for part in location).upper()
    if holds(arguments):
        return "an argument"
    if variable in os.environ:
        return variable
    return str(file) if file and holds(content) else "the configuration"


def explain(
    error: ValidationError,
    content: dict[str, Any],
    arguments: dict[str, Any],
    file: Path | None,
    keys: Keys,
) -> str:
    """Every wrong key or value: its path, what is allowed, where it came from."""
    lines = []
    for item in error.errors(include_url=False):
        # Past section and key come the branches of unions, which a reader does not know.
        location = item["loc"][:2]
        path = ".".join([ROOT, *(str(part) for part in location)])
        where = _source(location, content, arguments, file)
        if item["type"] == "extra_forbidden":
            allowed = ", ".join(keys if len(location) == 1 else keys[str(location[0])])
            lines.append(f"{path}: unknown key; allowed: {allowed} (from {where})")
        else:
            reason = item["msg"].removeprefix("Value error, ")
            # A URL holds a password.
            hidden = isinstance(item["input"], dict) or location[-1:] in {("url",), ("owner_url",)}
            given = "" if hidden else f"{item['input']!r}: "
            lines.append(f"{path}: {given}{reason} (from {where})")
    return "; ".join(lines)
