"""The server's log: each line names the stream, peer and model that it is about, in words or as JSON."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from contextvars import ContextVar
from enum import StrEnum
from types import MappingProxyType, TracebackType
from typing import TypeAlias

from pythonjsonlogger.json import JsonFormatter

_ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
_PLAIN = re.compile(r"[\w.:/@+%\[\]-]+")
_fields: ContextVar[Mapping[str, str]] = ContextVar("log_fields", default=MappingProxyType({}))


class LogFormat(StrEnum):
    """Formats of `--log-format`."""

    TEXT = "text"
    JSON = "json"


def bind(**fields: str) -> None:
    """Add fields to every later line of this task, of tasks that it starts, and of what `Scheduler` runs for it.

    The work of a frame on a worker or an encoder's thread has no fields: what it raises is logged by its task.
    """
    _fields.set({**_fields.get(), **fields})


class ContextFilter(logging.Filter):
    """Puts the bound fields on each record: as attributes, and as text behind the message in `context`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; let every record pass."""
        fields = _fields.get()
        vars(record).update(fields)
        words = (f"{name}={value if _PLAIN.fullmatch(value) else json.dumps(value)}" for name, value in fields.items())
        record.context = f" [{' '.join(words)}]" if fields else ""
        return True


class TextFormatter(logging.Formatter):
    """Writes a record as a line of text. What a client has sent cannot end the line and forge another one."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name is logging's
        """Write the line, with an escape for each character that is not printable."""
        return _printable(super().formatMessage(record))

    def formatException(self, ei: _ExceptionInfo) -> str:  # noqa: N802
        """Indent a traceback: what its error says may have lines of its own."""
        return "\n".join(f"    {_printable(line)}" for line in super().formatException(ei).splitlines())


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def configure(level: str, log_format: LogFormat) -> None:
    """Write lines from `level` up to standard error; JSON is one object a line, with the time in UTC."""
    handler = logging.StreamHandler()
    handler.addFilter(ContextFilter())
    if log_format is LogFormat.JSON:
        names = {"asctime": "time", "levelname": "level", "name": "logger"}
        formatter: logging.Formatter = JsonFormatter(
            ["asctime", "levelname", "name", "message"],
            rename_fields=names,
            reserved_attrs=[*vars(logging.makeLogRecord({})), "taskName", "context"],
            datefmt="%Y-%m-%dT%H:%M:%SZ",
        )
        formatter.converter = time.gmtime
    else:
        formatter = TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s%(context)s")
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler])
