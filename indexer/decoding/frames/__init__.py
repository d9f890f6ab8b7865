"""Frames of videos: how they are reached, which are kept, how one becomes a picture."""
