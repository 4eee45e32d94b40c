"""Plans for what is done with a payout once it has left the escrow."""
