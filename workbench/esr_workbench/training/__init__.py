"""How models are trained, from an empty start or from weights: losses, optimizers, runs, checkpoints."""
