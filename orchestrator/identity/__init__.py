"""Wallets and their keys: what a wallet has signed is checked, and its keys are minted."""
