"""`tallystick connect`: an MCP server on the machine of one wallet, which signs by its mandate."""
