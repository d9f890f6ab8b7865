"""A small library of real media, and a run of the main job on it (`make demo`)."""
