"""Decoders and encoders of streams: in this process, or each in a process of its own."""
