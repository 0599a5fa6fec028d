"""The fits of what the engine estimates of a source: how coding damaged it, and what made it small."""
