"""Documentation, and the tool that writes its tree."""
