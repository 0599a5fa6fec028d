"""What the server tells: series for Prometheus, pages over HTTP, and its log."""
