"""Where files come from: scanning and watching the roots that hold media."""
