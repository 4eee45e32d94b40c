"""Pages that people read: the front page, and the description of the routes."""
