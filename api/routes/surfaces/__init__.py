"""The routes of a surface: its owner's, its operators', and the trust between them."""
