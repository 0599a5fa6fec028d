"""The service: streams in and out of the engine over gRPC, with metrics over HTTP."""
