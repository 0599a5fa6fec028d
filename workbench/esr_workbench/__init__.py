"""The workbench: train, judge, explain, compare and convert models of `esr_upscale`. The command is `esr`."""
