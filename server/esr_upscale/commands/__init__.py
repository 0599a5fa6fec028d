"""The commands of `esr`, a module each. `cli.py` registers them."""
