"""Generate the stubs from the .proto, or check (`--check`) that the committed ones are up to date.

Generated code refuses a runtime older than its generator, so the generator is the oldest that serves the supported
Pythons, and it lives in an environment of its own (`--tools DIR`, made when missing): its protobuf is older than ours.
"""

from __future__ import annotations

import argparse
import filecmp
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PROTO = Path(__file__).resolve().parent
SOURCE = "esr_api/v1/upscaler.proto"
STUBS = ("upscaler_pb2.py", "upscaler_pb2.pyi", "upscaler_pb2_grpc.py", "upscaler_pb2_grpc.pyi")
# grpcio-tools imports pkg_resources, which setuptools dropped in 81.
REQUIREMENTS = ("grpcio-tools==1.66.2", "mypy-protobuf==3.6.0", "setuptools<81")


def ensure_tools(directory: Path) -> Path:
    """Return the Python of the generator's environment, which is made at the first call."""
    python = directory / "bin" / "python"
    marker = directory / "requirements.txt"
    requirements = "\n".join(REQUIREMENTS)
    if not (marker.exists() and marker.read_text() == requirements):
        venv.create(directory, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        marker.write_text(requirements)
    return python


def generate(python: Path, target: Path) -> None:
    """Write the stubs of `SOURCE` below `target`."""
    plugin = python.parent / "protoc-gen-mypy_grpc"
    command = [
        str(python), "-W", "ignore", "-m", "grpc_tools.protoc", f"-I{PROTO}",
        f"--python_out={target}", f"--pyi_out={target}", f"--grpc_python_out={target}",
        f"--plugin=protoc-gen-mypy_grpc={plugin}", f"--mypy_grpc_out=quiet:{target}", SOURCE,
    ]  # fmt: skip
    subprocess.run(command, check=True)


def differing(target: Path) -> list[str]:
    """Names of the committed stubs that differ from those below `target`."""
    folder = Path(SOURCE).parent
    return [
        name
        for name in STUBS
        if not (PROTO / folder / name).exists()
        or not filecmp.cmp(PROTO / folder / name, target / folder / name, shallow=False)
    ]


def main() -> int:
    """Run from the command line; with `--check`, exit 1 where the stubs are out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, change nothing")
    parser.add_argument("--tools", type=Path, default=PROTO.parent / ".cache" / "proto-tools")
    arguments = parser.parse_args()
    python = ensure_tools(arguments.tools)
    if not arguments.check:
        generate(python, PROTO)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(python, Path(scratch))
        stale = differing(Path(scratch))
    if stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run python proto/generate.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
