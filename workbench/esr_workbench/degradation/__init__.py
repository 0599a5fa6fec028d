"""What makes a picture worse: a smaller size, motion, codecs."""
