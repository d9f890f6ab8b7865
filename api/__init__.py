"""Every entry point: HTTP, command line, web page, MCP."""
