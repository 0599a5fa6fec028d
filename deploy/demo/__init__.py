"""`make demo`: the main job on a real clip, from nothing."""
