"""The HTTP API: routes by audience, and the problems that they answer with."""
