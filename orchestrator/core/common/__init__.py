"""The words that all of the core uses: errors, money and time, names, documents, bounds."""
