"""The commands of `esr`, one module each. `esr_upscale.cli` registers them."""
