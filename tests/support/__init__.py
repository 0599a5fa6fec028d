"""What tests of several rooms share: pictures, media and a running server."""
