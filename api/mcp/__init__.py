"""MCP at /mcp: the API's routes as tools, resources and prompts for any MCP client."""
