"""The rules of imports: one importer for each foreign library, and one direction between layers."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOTS = (ROOT / "proto", ROOT / "media", ROOT / "server", ROOT / "client", ROOT / "workbench")

IMPORTERS = {
    "grpc": ("esr_api", "esr_server.rpc", "esr_client"),
    "grpc_health": ("esr_server.rpc", "esr_client"),
    "grpc_reflection": ("esr_server.rpc",),
    "google": ("esr_api", "esr_server.rpc", "esr_client"),
    "av": ("esr_media.av_planes", "esr_upscale.media", "esr_workbench.media", "esr_client"),
    "typer": ("esr_client.cli", "esr_server.__main__", "esr_workbench.cli", "esr_workbench.commands"),
    "rich": ("esr_client.cli", "esr_workbench.commands"),
    "pythonjsonlogger": ("esr_server.telemetry.logs",),
    "prometheus_client": ("esr_server.telemetry.metrics",),
    "halide": ("esr_upscale.backends.halide", "esr_upscale.backends.aot.compile"),
    "torch": (
        "esr_upscale.backends.torch",
        "esr_upscale.nets",
        "esr_workbench.training",
        "esr_workbench.datasets",
        "esr_workbench.estimates",
        "esr_workbench.evaluation",
        "esr_workbench.model_files",
        "esr_workbench.explain",
    ),
    "onnx": ("esr_workbench.model_files.onnx_file",),
    "onnxscript": ("esr_workbench.model_files.onnx_file",),
    "onnxruntime": (),
    "PIL": ("esr_workbench.evaluation.pictures", "esr_workbench.datasets"),
    "matplotlib": ("esr_workbench.explain", "esr_workbench.pareto"),
    "pynvml": ("esr_workbench.pareto.power",),
    "safetensors": ("esr_upscale.models", "esr_workbench.training.checkpoint", "esr_workbench.model_files"),
    "asyncio": ("esr_server", "esr_client"),
    "esr_api.v1": ("esr_api", "esr_server.rpc", "esr_client"),
    "pyvips": ("esr_client.files.pictures",),
    "mmap": ("esr_server.streaming.shared_memory", "esr_server.codecs", "esr_client._shared_memory"),
}
"""Library → the packages that may import it; none where only tests may."""

_SERVER = {
    "esr_server.codecs",
    "esr_server.models",
    "esr_server.scheduling",
    "esr_server.streaming",
    "esr_server.telemetry",
    "esr_server.rpc",
    "esr_server.app",
}

FORBIDDEN: dict[str, Collection[str]] = {
    "esr_media": ("esr_api", "esr_upscale", "esr_server", "esr_client", "esr_workbench"),
    "esr_api": ("esr_media", "esr_upscale", "esr_server", "esr_client", "esr_workbench"),
    "esr_client": ("esr_upscale", "esr_server", "esr_workbench"),
    "esr_upscale": ("esr_server", "esr_client", "esr_api", "esr_workbench"),
    "esr_server": ("esr_client", "esr_workbench"),
    "esr_workbench": ("esr_server", "esr_client", "esr_api"),
    "esr_upscale.plane_kernel": ("esr_upscale",),
    "esr_upscale.frame": ("esr_upscale.backends", "esr_upscale.nets", "esr_upscale.models", "esr_upscale.media"),
    "esr_upscale.media": ("esr_upscale.backends", "esr_upscale.nets", "esr_upscale.models", "esr_upscale.upscaler"),
    "esr_upscale.nets": ("esr_upscale.media", "esr_upscale.frame"),
    "esr_upscale.models": ("esr_upscale.media", "esr_upscale.frame"),
    "esr_upscale.backends": ("esr_upscale.media", "esr_upscale.frame"),
    "esr_upscale.backends.halide": ("esr_upscale.backends.aot", "esr_upscale.backends.torch", "esr_upscale.nets"),
    "esr_upscale.backends.aot": ("esr_upscale.backends.torch", "esr_upscale.nets"),
    "esr_upscale.backends.torch": ("esr_upscale.backends.aot", "esr_upscale.backends.halide"),
    "esr_upscale.backends.packed": ("esr_upscale.backends.aot", "esr_upscale.backends.halide"),
    "esr_upscale.backends.fused": ("esr_upscale.backends.aot", "esr_upscale.backends.halide"),
    "esr_workbench.media": ("esr_workbench.explain", "esr_workbench.pareto", "esr_workbench.shaders"),
    "esr_workbench.shaders": ("esr_upscale.nets", "esr_upscale.media", "esr_workbench.training"),
    "esr_workbench.pareto": ("esr_upscale.nets", "esr_upscale.media", "esr_workbench.training"),
    "esr_workbench.explain": ("esr_upscale.media", "esr_workbench.training"),
    "esr_server.models": _SERVER - {"esr_server.models"},
    "esr_server.codecs": _SERVER - {"esr_server.codecs"},
    "esr_server.scheduling": _SERVER - {"esr_server.scheduling", "esr_server.models"},
    "esr_server.streaming": _SERVER
    - {"esr_server.streaming", "esr_server.scheduling", "esr_server.models", "esr_server.codecs"},
    "esr_server.streaming.stages": {"esr_server.scheduling"},
    "esr_server.telemetry": {"esr_server.rpc", "esr_server.scheduling", "esr_server.app"},
    "esr_server.telemetry.http": _SERVER - {"esr_server.telemetry"},
    "esr_server.rpc": {"esr_server.telemetry.http", "esr_server.telemetry.status_page", "esr_server.app"},
}
"""Package → the packages that it must not import."""

LAYERS = (
    (
        "esr_upscale.engine",
        "esr_upscale.upscaler",
        "esr_upscale.backends",
        "esr_upscale.nets",
        "esr_upscale.models",
        "esr_upscale.plane_kernel",
    ),
    (
        "esr_workbench.entry",
        "esr_workbench.cli",
        "esr_workbench.commands",
        "esr_workbench.training",
        "esr_workbench.datasets",
        "esr_workbench.evaluation",
        "esr_workbench.degradation",
        "esr_workbench.media",
    ),
    ("esr_workbench.commands", "esr_workbench.training", "esr_workbench.model_files"),
    ("esr_workbench.commands", "esr_workbench.estimates", "esr_workbench.evaluation"),
    ("esr_workbench.commands", "esr_workbench.explain"),
    ("esr_workbench.commands", "esr_workbench.pareto"),
    ("esr_workbench.commands", "esr_workbench.shaders"),
)
"""Packages from above to below: none imports those before it."""


def _modules() -> Iterator[tuple[str, Path]]:
    for root in ROOTS:
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if len(parts) > 1:
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(_modules())


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def test_the_packages_are_there() -> None:
    roots = {"esr_api", "esr_media", "esr_upscale", "esr_server", "esr_client", "esr_workbench"}
    assert {name.partition(".")[0] for name in MODULES} == roots
    packages = {
        package for table in (IMPORTERS.values(), FORBIDDEN.values(), LAYERS) for row in table for package in row
    }
    for package in packages:
        assert any(_within(name, package) for name in MODULES), f"no module is in {package}: the table is stale"


@pytest.mark.parametrize("name", MODULES)
def test_one_importer_for_each_library(name: str) -> None:
    for imported in _imports(MODULES[name]):
        for library, packages in IMPORTERS.items():
            if _within(imported, library):
                assert any(_within(name, package) for package in packages), f"{name} imports {imported}"


EVERYWHERE = {"numpy", "esr_api", "esr_media", "esr_upscale", "esr_server", "esr_client", "esr_workbench"}
"""What is no foreign library: this project's packages, and numpy, whose arrays are every layer's pictures."""


@pytest.mark.parametrize("name", MODULES)
def test_every_library_has_a_row(name: str) -> None:
    names = {imported.partition(".")[0] for imported in _imports(MODULES[name])}
    libraries = names - set(sys.stdlib_module_names) - EVERYWHERE
    assert libraries <= set(IMPORTERS), f"{name} imports {sorted(libraries - set(IMPORTERS))}: IMPORTERS lacks a row"


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name: str) -> None:
    imported = _imports(MODULES[name])
    for package, forbidden in FORBIDDEN.items():
        if _within(name, package):
            wrong = {i for i in imported for other in forbidden if _within(i, other)}
            assert not wrong, f"{name} imports {sorted(wrong)}"


@pytest.mark.parametrize("name", MODULES)
def test_layers_import_downwards(name: str) -> None:
    imported = _imports(MODULES[name])
    for layers in LAYERS:
        for number, layer in enumerate(layers):
            if _within(name, layer):
                wrong = {i for i in imported for above in layers[:number] if _within(i, above)}
                assert not wrong, f"{name} imports {sorted(wrong)}"


@pytest.mark.parametrize("name", [n for n in MODULES if not _within(n, "esr_server.app")])
def test_only_app_knows_every_layer(name: str) -> None:
    layers = ("esr_server.rpc.server", "esr_server.telemetry.http", "esr_server.scheduling.scheduler")
    known = {layer for layer in layers for i in _imports(MODULES[name]) if _within(i, layer)}
    assert len(known) < len(layers), f"{name} knows {known}"
