"""The commands by which a stranger checks receipts, logs and anchors."""
