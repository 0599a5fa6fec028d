"""The luma of RGB: weights of ITU-R BT.601, and the depth at which RGB is worked on."""

from __future__ import annotations

LUMA_WEIGHTS = KR, KG, KB = 0.299, 0.587, 0.114
"""What red, green and blue add to luma. They sum to one."""
LUMA_DEPTH = 16
"""Bits of the luma that a model gets, whatever the depth of RGB: fine enough to keep every 8-bit colour."""
