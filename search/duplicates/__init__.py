"""Finding copies: the same bytes, altered copies, pictures of the same thing."""
