"""Pages that people read: the front page, receipts, and the description of the routes."""
