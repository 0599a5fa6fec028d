"""gRPC: the only package of the server that imports it, and the only one that awaits it."""
