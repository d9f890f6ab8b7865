"""Encoders that run in another process: asked over HTTP, and their frequent answers remembered."""
