"""OAuth: sign-in for the clients of people, with the wallet as the login."""
