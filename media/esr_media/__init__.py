"""What both sides of the service need: pixel formats, colour tags, packets, planes of FFmpeg's frames, slots of memory.

A leaf: it imports nothing of edge-sr, and what it raises is ValueError.
"""
