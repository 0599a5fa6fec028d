"""gRPC: the only room of the server that knows it, and the only one that awaits it."""
