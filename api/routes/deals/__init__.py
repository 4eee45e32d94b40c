"""The routes of contracts that are being agreed."""
