"""The one writer, which turns requests into entries batch by batch, and the fold made again."""
