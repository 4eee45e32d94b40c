"""The states of PostgreSQL's errors (SQLSTATE) that something follows from."""

# What our own functions and triggers raise.
ACCOUNT_FULL = "54000"  # program_limit_exceeded: no more is kept of this account
ALL_FULL = "53100"  # disk_full: no more is kept of all accounts
NO_PLACE = "53400"  # configuration_limit_exceeded: no place is free for a request to wait
OTHER_REQUEST = "23000"  # integrity_constraint_violation: the key was used for another request
UNBOUND = "TS409"  # of our own: what a proposal answers, or its offer, does not admit it

# What PostgreSQL raises. Those of two or three characters begin all states of a class.
REFERENCE_MISSING = "23503"  # foreign_key_violation: what a row names is not there
RULE_BROKEN = "23"
LOCK_LATE = "55P03"  # lock_not_available
STATEMENT_LATE = "57014"  # query_canceled
CONNECTIONS_FULL = "53300"  # too_many_connections
READ_ONLY = "25006"  # read_only_sql_transaction
# By these the database lacks what we ask for.
SCHEMA_MISSING = "3F000"  # invalid_schema_name
COLUMN_MISSING = "42703"  # undefined_column
OBJECT_MISSING = "42704"  # undefined_object: a setting, say
FUNCTION_MISSING = "42883"  # undefined_function
TABLE_MISSING = "42P01"  # undefined_table
FORBIDDEN = "42501"  # insufficient_privilege: our own functions raise it as well
CONNECTION_LOST = "08"
STOPPING = "57P"
