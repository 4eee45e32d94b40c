"""The OpenAPI description: made from the routes, with every error and with examples."""
