"""Version 1 of the contract: `upscaler.proto`, its messages and its stubs."""
