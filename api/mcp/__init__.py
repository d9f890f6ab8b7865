"""Model Context Protocol at `/mcp`: what agents can do with a library, step by step."""
