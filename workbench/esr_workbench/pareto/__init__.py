"""Quality and speed of models on this machine: time them, choose one, draw them.

The figure is that of P. Navarrete Michelini, Y. Lu, X. Jiang, "edge-SR: Super-Resolution For The Masses", WACV 2022,
arXiv 2108.10335, with what this machine does in place of theirs.
"""
