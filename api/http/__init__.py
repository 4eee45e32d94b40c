"""HTTP for every route: identity, limits, strict input, answers, problems."""
