"""The documentation site: `make docs`. Its sources are the Markdown files of the repository, as they are on GitHub."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), *(str(ROOT / root) for root in ("proto", "media", "client"))]

import esr_client  # noqa: E402
from docs import reference  # noqa: E402

project = "edge-sr"
version = release = version_of("edge-sr")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "examples/README.md"]
exclude_patterns = [
    ".*",
    "benchmarks",
    "build",
    "client",
    "demo",
    "dist",
    "media",
    "proto",
    "server",
    "tests",
    "workbench",
]

html_theme = "furo"
html_title = "edge-sr"
html_copy_source = False

myst_heading_anchors = 3
default_role = "literal"  # docstrings are Markdown: `name` is code
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_custom_sections = ["Raises, while iterating"]

TOCTREE = """
```{toctree}
:hidden:
:caption: Use

docs/what-to-expect
docs/client
docs/serving
docs/realtime
docs/realtime-figures
docs/models
docs/training
docs/mpv
docs/performance
examples/README
```

```{toctree}
:hidden:
:caption: Reference

docs/sdk
docs/contract
CHANGELOG
```

```{toctree}
:hidden:
:caption: Develop

docs/architecture
CONTRIBUTING
SECURITY
docs/kernels
docs/networks
docs/previous-frame
```
"""

APPENDED: dict[str, Callable[[], str]] = {
    "README": lambda: TOCTREE,
    "docs/sdk": reference.sdk,
    "docs/contract": lambda: reference.contract((ROOT / "proto/esr_api/v1/upscaler.proto").read_text()),
}


def append(_app: Sphinx, page: str, source: list[str]) -> None:
    """Add what only the site has to a page."""
    if page in APPENDED:
        source[0] += APPENDED[page]()


def write_index(app: Sphinx, error: Exception | None) -> None:
    """Make the README the page of the site's root."""
    if error is None and app.builder.format == "html":
        shutil.copyfile(Path(app.outdir) / "README.html", Path(app.outdir) / "index.html")


def restore_modules() -> None:
    """Set `__module__` of the SDK's names to the files where they are: autodoc reads the fields' docstrings there."""
    files = {name: module for name, module in sys.modules.items() if name.startswith(("esr_client._", "esr_media."))}
    for name in esr_client.__all__:
        value = getattr(esr_client, name)
        value.__module__ = next(
            file for file, module in files.items() if vars(module).get(name) is value and defines(module.__file__, name)
        )


def defines(file: str | None, name: str) -> bool:
    source = Path(file or "").read_text()
    return any(line.startswith((f"class {name}", f"def {name}(")) for line in source.splitlines())


def setup(app: Sphinx) -> None:
    """Connect what the site adds to the pages to the events of Sphinx."""
    restore_modules()
    app.connect("source-read", append)
    app.connect("build-finished", write_index)
