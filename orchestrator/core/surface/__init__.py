"""A surface's rules, which its owner sets: lifecycle, attribution, trust, what leads are asked."""
