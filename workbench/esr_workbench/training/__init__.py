"""Making and judging models. Uses torch."""
