"""The HTTP face: routes by audience, and the errors they answer with."""
