"""Writes docs/settings.md, every setting of a training run: python docs/settings_page.py

What a setting means is the comment beside it in python/gaufuse/config.py; what it may be is what
the configuration checks; its values are the presets'.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from gaufuse import config as module
from gaufuse.config import Config, load_config, presets

PAGE = Path(__file__).with_name("settings.md")
SHOWN = ("thumos14", "general")  # in every table; of the others, what they change
HEAD = """\
# Settings

Written by `python docs/settings_page.py` from `python/gaufuse/config.py` and the presets; do not
edit.

A setting is `section.name`: `--set section.name=VALUE` on the command line, or a line under
`[section]` of a TOML file that names only what differs:

```toml
base = "general"        # the preset to start from

[data]
root = "my_videos"      # the data set's folder, relative to this file

[optimizer]
weight_decay = 1e-3
```

`gaufuse train my_config.toml --output RUN` trains with it. Lists and tables are quoted on the
command line: `--set 'model.kernel=[1,3]'`. A run's `config.toml` has all settings as they were.

A run is made longer or shorter by `schedule.steps` (`--set 'schedule.steps=[2000,8000]'`: the least
and the most steps), which moves all epochs in proportion. With `schedule.epochs`, every list of
epochs must reach the new end.
"""


def page() -> str:
    """The page's text."""
    shown = {name: _flat(load_config(name)) for name in SHOWN}
    parts = [HEAD]
    comments = _comments()
    schema = Config.model_json_schema()
    for section, field in Config.model_fields.items():
        kind = field.annotation
        if not (isinstance(kind, type) and issubclass(kind, module.Section)):
            continue
        rows = [f"| setting | may be | {' | '.join(f'`{name}`' for name in SHOWN)} | |"]
        rows.append("| --- | --- " + "| --- " * (len(SHOWN) + 1) + "|")
        allowed = schema["$defs"][kind.__name__]["properties"]
        for name in kind.model_fields:
            values = [_code(own[f"{section}.{name}"]) for own in shown.values()]
            text = comments[kind.__name__, name]
            rows.append(
                f"| `{name}` | {_allowed(allowed[name], schema)} | {' | '.join(values)} | {text} |"
            )
        about = " ".join((kind.__doc__ or "").split())
        parts.append(f"## [{section}]\n\n{about}\n\n" + "\n".join(rows) + "\n")
    for name in sorted(set(presets()) - set(SHOWN)):
        text = resources.files("gaufuse.configs").joinpath(f"{name}.toml").read_text()
        base = tomllib.loads(text)["base"]
        parts.append(f"## Preset {name}\n\nLike `{base}`, but:\n\n" + _differences(name, base))
    return "\n".join(parts)


def _flat(config: Config) -> dict[str, Any]:
    table = config.model_dump(mode="json")
    return {
        f"{section}.{name}": value
        for section, values in table.items()
        if isinstance(values, dict)
        for name, value in values.items()
    }


def _comments() -> dict[tuple[str, str], str]:
    """What the lines above and beside each setting say, by class and name."""
    source = Path(module.__file__).read_text()
    lines = source.splitlines()
    found = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for own in node.body:
            if not (isinstance(own, ast.AnnAssign) and isinstance(own.target, ast.Name)):
                continue
            above = []
            line = own.lineno - 2
            while lines[line].strip().startswith("#"):
                above.insert(0, lines[line].strip().removeprefix("#").strip())
                line -= 1
            rest = lines[(own.end_lineno or own.lineno) - 1][own.end_col_offset or 0 :]
            beside = rest.partition("#")[2].strip()
            found[node.name, own.target.id] = _cell(" ".join([*above, beside]).strip())
    return found


def _allowed(schema: dict[str, Any], whole: dict[str, Any]) -> str:
    """What a setting may be, in words."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        kinds = [_allowed(kind, whole) for kind in schema["anyOf"] if kind.get("type") != "null"]
        return ", or ".join(kinds)
    if "enum" in schema:
        return ", ".join(_code(value) for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return f"{len(schema['prefixItems'])} numbers"
        item = _allowed(schema["items"], whole)
        return f"list of: {item}"
    if kind == "object":
        return "{" + ", ".join(schema["properties"]) + "}"
    if kind in ("integer", "number"):
        return ("whole" if kind == "integer" else "number") + _bounds(schema)
    return {"boolean": "`true`, `false`", "string": "text"}.get(str(kind), "")


def _bounds(schema: dict[str, Any]) -> str:
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    parts = [
        f"{sign} {value:g}"
        for sign, value in (("≥", least), (">", above), ("≤", most), ("<", below))
        if value is not None
    ]
    return " " + ", ".join(parts) if parts else ""


def _code(value: Any) -> str:
    return "none" if value is None else f"`{_cell(_toml(value))}`"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_toml(own)}" for key, own in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _differences(name: str, base: str) -> str:
    own, other = _flat(load_config(name)), _flat(load_config(base))
    rows = [f"| `{key}` | {_code(own[key])} |" for key in own if own[key] != other[key]]
    return "\n".join([f"| setting | {name} |", "| --- | --- |", *rows]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
