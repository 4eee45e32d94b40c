"""Knowledge of a log beside its database, so that a database that moved forks nothing."""
