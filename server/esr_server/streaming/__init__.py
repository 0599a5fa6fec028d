"""One stream: its stages on worker threads, the queues on both sides of them, and where its frames lie."""
