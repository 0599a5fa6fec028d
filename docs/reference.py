"""The reference pages of the site, made from the SDK's docstrings and from the comments of the contract."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import esr_client
import esr_client.files


def sdk() -> str:
    """Return directives for every public name of the SDK, in the order of `__all__`."""
    sections: dict[str, list[str]] = {"Functions": [], "Classes": [], "Errors": [], "Files": []}
    for name in esr_client.__all__:
        value = getattr(esr_client, name)
        if not inspect.isclass(value):
            sections["Functions"].append(_directive("autofunction", f"esr_client.{name}"))
        elif issubclass(value, Exception):
            sections["Errors"].append(_directive("autoexception", f"esr_client.{name}", "members", "show-inheritance"))
        else:
            inherits = () if issubclass(value, Enum) else ("inherited-members",)
            sections["Classes"].append(
                _directive("autoclass", f"esr_client.{name}", "members", "undoc-members", *inherits)
            )
    for name in esr_client.files.__all__:
        value = getattr(esr_client.files, name)
        if inspect.isclass(value):
            part = _directive("autoclass", f"esr_client.files.{name}", "members", "undoc-members")
        elif callable(value):
            part = _directive("autofunction", f"esr_client.files.{name}")
        else:  # autodoc would show the whole value
            part = f".. py:data:: esr_client.files.{name}\n\n   {', '.join(f'`{each}`' for each in value)}\n\n"
        sections["Files"].append(part)
    return "".join(f"\n## {title}\n\n```{{eval-rst}}\n{''.join(parts)}```\n" for title, parts in sections.items())


def _directive(kind: str, name: str, *options: str) -> str:
    return f".. {kind}:: {name}\n" + "".join(f"   :{option}:\n" for option in options) + "\n"


@dataclass
class Entry:
    """A service, message or enum with its rows: calls, fields or values, each with its comment."""

    kind: str
    name: str
    comment: str
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    """What it is of (`oneof NAME`, or nothing), its declaration, its name, its comment."""


def entries(proto: str) -> Iterator[Entry]:
    """Yield what the contract defines, in its order. It has no nested messages, and one statement on each line."""
    entry: Entry | None = None
    comment: list[str] = []
    group = ""
    for line in map(str.strip, proto.splitlines()):
        if line.startswith("//"):
            comment.append(line[2:].strip())
            continue
        text = " ".join(comment)
        if match := re.match(r"(service|message|enum) (\w+) \{(\})?", line):
            entry = Entry(match[1], match[2], text)
            if match[3]:
                yield entry
                entry = None
        elif entry is not None and (match := re.match(r"oneof (\w+) \{", line)):
            group = f"oneof {match[1]}"
        elif line == "}" and group:
            group = ""
        elif line == "}" and entry is not None:
            yield entry
            entry = None
        elif entry is not None and (match := re.match(r"rpc (\w+)(\(.*\) returns \(.*\));", line)):
            entry.rows.append((group, match[2], match[1], text))
        elif entry is not None and (match := re.match(r"(.*?)(\w+) = (\d+);", line)):
            entry.rows.append((group, match[1].strip() or match[3], match[2], text))
        elif entry is not None and line:
            raise ValueError(f"a line of the contract that this parser does not know: {line}")
        comment = []


def contract(proto: str) -> str:
    """Return the reference of the contract as Markdown: a section for each call, message and enum."""
    all_entries = list(entries(proto))
    names = "|".join(entry.name for entry in all_entries if entry.kind != "service")

    def linked(text: str) -> str:
        return re.sub(rf"\b({names})\b", lambda match: f"[{match[1]}](#{match[1].lower()})", text)

    parts: list[str] = []
    for title, kind in (("Calls", "service"), ("Messages", "message"), ("Enums", "enum")):
        parts.append(f"\n## {title}\n")
        for entry in (each for each in all_entries if each.kind == kind):
            if kind == "service":
                parts += [f"### {name}\n\n{linked(types)}\n\n{text}\n" for _, types, name, text in entry.rows]
                continue
            parts.append(f"### {entry.name}\n\n{entry.comment}\n")
            if entry.rows:
                head = "| value | name | |" if kind == "enum" else "| type | field | |"
                lines = [f"| {linked(_type(*row))} | `{row[2]}` | {row[3]} |" for row in entry.rows]
                parts.append("\n".join([head, "|---|---|---|", *lines]) + "\n")
            elif not entry.comment:
                parts.append("No fields.\n")
    return "\n".join(parts)


def _type(group: str, type_: str, _name: str, _comment: str) -> str:
    return f"{type_} ({group})" if group else type_
