"""Measurements of this machine. Nothing here is imported by the product or its tests."""
