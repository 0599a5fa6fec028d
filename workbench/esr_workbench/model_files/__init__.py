"""Files of models: weights with their cards, ONNX, and checkpoints of others."""
