"""Pages that people read: the front page, receipts and their check, and the routes described."""
