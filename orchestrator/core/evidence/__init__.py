"""Evidence from log entries: what they prove at the escrow, and how a whole log is searched for it.

`exhibits` defines cases and reads entries. `rules` decides a case as the Evidence contract does,
with `touches` and `totals`. `disproof_search` and `claim_search` read a log, with `history` and
`touch_index`.
"""
