"""Whole files made on the spot, with everything that a container may carry."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.packet import Packet
from av.stream import Disposition

from esr_media.ratio import to_fraction
from esr_media.scheduling import ordinary_scheduling

AUDIO_RATE = 48000
_EMPTY_TEXT_BYTES = 2  # MP4's muxer writes such packets where a text ends, as often as it sees fit


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What to put into a file. The defaults are one small H.264 stream with B-frames."""

    pts: Sequence[int] = tuple(range(0, 12 * 512, 512))
    time_base: Fraction = Fraction(1, 12800)
    size: tuple[int, int] = (48, 32)
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    aspect: Fraction | None = None
    rotation: int = 0
    color: tuple[int, int, int, int] = (0, 2, 2, 2)
    """Range, primaries, transfer, matrix."""
    languages: Sequence[str] = ()
    """One AAC stream for each."""
    subtitles: str = ""
    """Codec of a text stream."""
    chapters: bool = False
    attachment: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    audio_first: bool = False
    cover: bool = False
    """An attached picture, after the video."""


@ordinary_scheduling()
def make(path: Path, clip: Clip) -> Path:
    """Write the file."""
    with av.open(str(path), "w", container_options=_container_options(path, clip)) as output:
        output.metadata.update(clip.metadata)
        if clip.audio_first:
            audio = [_add_audio(output, language) for language in clip.languages]
        video = _add_video(output, clip)
        if not clip.audio_first:
            audio = [_add_audio(output, language) for language in clip.languages]
        text = _add_text(output, clip) if clip.subtitles else None
        cover = _add_cover(output) if clip.cover else None
        if clip.chapters:
            half = {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "Dawn"}}
            rest = {"id": 2, "start": 200, "end": 450, "time_base": Fraction(1, 1000), "metadata": {"title": "Dusk"}}
            output.set_chapters([half, rest])  # type: ignore[list-item]
        if clip.attachment:
            output.add_attachment("note.txt", "text/plain", b"hello")
        if cover is not None:
            output.mux(cover.encode(av.VideoFrame(16, 16, "yuvj420p")))
            output.mux(cover.encode(None))
        if text is not None:
            _write_text(output, text, clip.subtitles)
        for number, stream in enumerate(audio):
            _write_audio(output, stream, number)
        _write_video(output, video, clip)
    return path


def _container_options(path: Path, clip: Clip) -> dict[str, str]:
    return {"movie_timescale": str(clip.time_base.denominator)} if path.suffix in (".mp4", ".mov") else {}


def _add_video(output: Any, clip: Clip) -> Any:
    options = {"preset": "veryfast", "bf": "2"} if clip.codec == "libx264" else {}
    video = output.add_stream(clip.codec, rate=25, options=options | clip.options)
    (video.width, video.height), video.pix_fmt = clip.size, clip.pixel_format
    video.codec_context.time_base = video.time_base = clip.time_base
    context = video.codec_context
    context.color_range, context.color_primaries, context.color_trc, context.colorspace = clip.color
    if clip.aspect:
        context.sample_aspect_ratio = clip.aspect
    if clip.rotation:
        video.set_display_rotation(clip.rotation)
    return video


def _write_video(output: Any, video: Any, clip: Clip) -> None:
    for number, pts in enumerate(clip.pts):
        frame = av.VideoFrame(*clip.size, clip.pixel_format)
        for plane in frame.planes:
            ramp = np.arange(plane.buffer_size, dtype=np.uint32) + 5 * number
            plane.update((ramp % 64 if "10" in clip.pixel_format else ramp % 200).astype(np.uint8).tobytes())
        frame.pts, frame.time_base = pts, clip.time_base
        output.mux(video.encode(frame))
    output.mux(video.encode(None))


def _add_audio(output: Any, language: str) -> Any:
    audio = output.add_stream("aac", rate=AUDIO_RATE, layout="mono")
    audio.metadata["language"] = language
    return audio


def _write_audio(output: Any, audio: Any, number: int) -> None:
    rng = np.random.default_rng(number)
    for start in range(0, AUDIO_RATE // 2, 1024):
        noise = rng.uniform(-0.1, 0.1, (1, 1024)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, start, Fraction(1, AUDIO_RATE)
        output.mux(audio.encode(frame))
    output.mux(audio.encode(None))


def _add_cover(output: Any) -> Any:
    cover = output.add_stream("mjpeg", rate=1)
    cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
    cover.disposition = Disposition.attached_pic
    return cover


def _add_text(output: Any, clip: Clip) -> Any:
    text = output.add_mux_stream(clip.subtitles)
    text.time_base = Fraction(1, 1000)
    text.metadata["language"] = "eng"
    return text


def _write_text(output: Any, text: Any, codec: str) -> None:
    for start, words in ((0, b"first"), (150, b"second")):
        packet: Packet[Any] = Packet(len(words).to_bytes(2, "big") + words if codec == "mov_text" else words)
        packet.pts = packet.dts = start
        packet.duration, packet.time_base, packet.stream = 100, Fraction(1, 1000), text
        output.mux(packet)


def join(path: Path, first: Path, second: Path) -> Path:
    """Write a file with the video streams of two others."""
    with av.open(str(first)) as a, av.open(str(second)) as b, av.open(str(path), "w") as output:
        pairs = [(f, output.add_stream_from_template(f.streams.video[0], opaque=True)) for f in (a, b)]
        for container, stream in pairs:
            for packet in container.demux(container.streams.video[0]):
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
    return path


# ---- reading back -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Video:
    """What a player would see of the first video stream."""

    times: tuple[Fraction | None, ...]
    """Of the frames, in seconds."""
    size: tuple[int, int]
    pixel_format: str | None
    aspect: Fraction | None
    rotation: int
    color: tuple[int, int, int, int]


def video(path: Path) -> Video:
    """Decode the first video stream."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        context = stream.codec_context
        color = (context.color_range, context.color_primaries, context.color_trc, context.colorspace)
        times = tuple(None if f.pts is None else f.pts * (f.time_base or Fraction(1)) for f in frames)
        size = stream.width, stream.height
        return Video(times, size, stream.pix_fmt, to_fraction(stream.sample_aspect_ratio), frames[0].rotation, color)


def others(path: Path) -> list[tuple[str, str | None, int, str, list[Fraction | None]]]:
    """Of all streams but the first video: type, language, disposition, hash of the packets, their times."""
    with av.open(str(path)) as container:
        first = container.streams.video[0].index
        streams = [s for s in container.streams if s.index != first and s.type != "attachment"]
        rows = {s.index: (s.type, s.language, int(s.disposition), hashlib.sha256(), list[Any]()) for s in streams}
        for packet in container.demux(*streams) if streams else ():
            if packet.size > _EMPTY_TEXT_BYTES:
                rows[packet.stream_index][3].update(bytes(packet))
                rows[packet.stream_index][4].append(None if packet.pts is None else packet.pts * packet.time_base)
        return [(*row[:3], row[3].hexdigest(), row[4]) for row in rows.values()]


def attachments(path: Path) -> list[tuple[str | None, str | None, bytes]]:
    """Name, type and bytes of each attachment."""
    with av.open(str(path)) as container:
        return [(s.name, s.mimetype, s.data) for s in container.streams.attachments]


def chapters(path: Path) -> list[tuple[Fraction, Fraction, str]]:
    """Start and end in seconds, and title."""
    with av.open(str(path)) as container:
        rows = container.chapters()
        return [(r["start"] * _base(r), r["end"] * _base(r), r["metadata"]["title"]) for r in rows]


def wipe(path: Path, number: int) -> None:
    """Overwrite packet `number` of the video with zeros, in place."""
    with av.open(str(path)) as container:
        data = next(bytes(p) for i, p in enumerate(container.demux(container.streams.video[0])) if i == number)
    whole = path.read_bytes()
    assert whole.count(data) == 1
    path.write_bytes(whole.replace(data, bytes(len(data))))


def is_length_prefixed(path: Path) -> bool:
    """Whether the units of H.264 or HEVC in an MP4 or Matroska file have their lengths before them, as they must."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        whole = [bytes(packet) for packet in container.demux(stream) if packet.size]
        return (stream.codec_context.extradata or b"")[:1] == b"\1" and all(_lengths_fit(data) for data in whole)


def slices(path: Path) -> set[int]:
    """How many slices (units of type 1 and 5) the pictures of H.264 in an MP4 or Matroska file have."""
    with av.open(str(path)) as container:
        whole = [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]
    return {sum(data[at + 4] & 31 in (1, 5) for at in _units(data)[:-1]) for data in whole}


def _lengths_fit(data: bytes) -> bool:
    return _units(data)[-1] == len(data)


def _units(data: bytes) -> list[int]:
    """Where units begin, by the lengths before them, and where the last one ends."""
    at = [0]
    while at[-1] < len(data):
        at.append(at[-1] + 4 + int.from_bytes(data[at[-1] : at[-1] + 4], "big"))
    return at


def _base(chapter: Any) -> Fraction:
    base: Fraction = chapter["time_base"]
    return base


def metadata(path: Path) -> dict[str, str]:
    """Of the container."""
    with av.open(str(path)) as container:
        return {key.lower(): value for key, value in container.metadata.items()}
