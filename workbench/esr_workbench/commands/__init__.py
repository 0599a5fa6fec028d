"""The commands of `esr`, one module each. `esr_workbench.cli` registers them."""
