"""Decode, upscale and encode with PyAV: `python examples/pyav_loop.py in.mp4 out.mp4`.

`esr_client.files.upscale_file` does this and keeps audio, subtitles and tags. Write the loop yourself to add steps.
"""

import sys

import av

import esr_client

if len(sys.argv) != 3:
    sys.exit(__doc__)
source, out = sys.argv[1:]
with esr_client.connect() as client, av.open(source) as reader, av.open(out, "w") as writer:
    video = reader.streams.video[0]
    encoder = writer.add_stream("libx264", rate=video.average_rate, width=2 * video.width, height=2 * video.height)
    encoder.codec_context.time_base = video.time_base
    for frame in client.upscale(reader.decode(video), model="esr_stack_x2"):
        writer.mux(encoder.encode(frame))
    writer.mux(encoder.encode(None))
