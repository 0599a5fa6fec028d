"""The engine of edge-sr: planes in, planes out. It knows no gRPC, no asyncio and no Prometheus."""
