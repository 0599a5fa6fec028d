"""Upscale several files at once with asyncio: `python examples/fan_out.py a.mp4 b.mp4`.

One client and one connection carry all streams. The server divides the machine between them.
"""

import asyncio
import sys

import av

import esr_client


async def count_frames(client: esr_client.AsyncClient, path: str) -> int:
    """Upscale one file and return how many frames came back."""
    frames = 0
    with av.open(path) as reader:
        async for _frame in client.upscale(reader.decode(video=0), model="esr_stack_x2"):
            frames += 1
    return frames


async def main(target: str, paths: list[str]) -> None:
    """Upscale all files side by side."""
    async with esr_client.connect_async(target) as client:
        counts = await asyncio.gather(*(count_frames(client, path) for path in paths))
    for path, frames in zip(paths, counts, strict=True):
        print(f"{path}: {frames} frames")


if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
    sys.exit(__doc__)
with esr_client.PrivateServer("esr_stack_x2") as server:
    server.wait()
    asyncio.run(main(server.target, sys.argv[1:]))
