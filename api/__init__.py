"""Every door into the house: HTTP, command line, web page, MCP."""
