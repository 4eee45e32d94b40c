"""The routes of deals: drafts, proposals with their versions, and standing offers."""
