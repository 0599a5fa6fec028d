"""The models that this server knows: by their names, loaded, measured, and in the order of ladders."""
