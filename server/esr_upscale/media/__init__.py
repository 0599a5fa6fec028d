"""Compressed video in and out: decode, deinterlace, encode. The engine's only importers of `av`.

FFmpeg's log is quiet here because PyAV drops it unless the application asks for it (`av.logging.set_level`); nothing in
this package changes that. Two encoder libraries write to stderr past FFmpeg's log: libx265, which is told not to by an
option, and libsvtav1, which obeys the environment variable SVT_LOG (1: errors only) of whoever starts the process.
"""
