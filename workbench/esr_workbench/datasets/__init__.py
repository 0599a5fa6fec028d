"""What networks are trained on: tiles of pictures, and degraded clips made from them."""
