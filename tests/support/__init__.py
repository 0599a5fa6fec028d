"""Helpers of several test packages: pictures, media and a running server."""
