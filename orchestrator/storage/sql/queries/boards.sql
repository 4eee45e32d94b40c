-- Queries of boards: leases and messages, for the key that the transaction presents.

-- name: take
-- Take an item, or renew the lease of a fence: `taken`, or why not, and the item's lease after that.
-- (The second function takes the outcome of the first, so it comes after it.)
SELECT done.outcome, l.*
FROM take_lease(%(log_id)s, %(board)s, %(item)s, %(fence)s::bigint, %(for_ms)s, %(most)s)
    AS done (outcome)
LEFT JOIN LATERAL board_leases(%(log_id)s, %(board)s,
    CASE WHEN done.outcome <> '' THEN %(item)s::text END, '', 1) AS l ON true;

-- name: release
-- End the lease of a fence, or hand it over: `released` or `handed`, or why not, and the item's lease
-- after that.
SELECT done.outcome, l.*
FROM release_lease(%(log_id)s, %(board)s, %(item)s, %(fence)s, %(to)s::text) AS done (outcome)
LEFT JOIN LATERAL board_leases(%(log_id)s, %(board)s,
    CASE WHEN done.outcome <> '' THEN %(item)s::text END, '', 1) AS l ON true;

-- name: leases
-- The live leases of a board behind an item.
SELECT item, holder, holder_key, holder_name, fence, taken_ms, expires_ms
FROM board_leases(%(log_id)s, %(board)s, NULL, %(after)s, %(limit)s);

-- name: holds
-- True if the live lease of an item has this fence and this key.
SELECT count(*) > 0 AS holds FROM board_leases(%(log_id)s, %(board)s, %(item)s, '', 1) AS l
WHERE l.fence = %(fence)s AND l.holder_key = %(key)s;

-- name: send
-- Put a message on a board: `sent` with its number, or why not.
SELECT outcome, number FROM send_message(
    %(log_id)s, %(board)s, %(kind)s, %(item)s, %(to)s::text, %(body)s::json, %(most)s, %(life_ms)s);

-- name: messages
-- The messages of a board behind a number.
SELECT number, kind, item, sender, sender_key, sender_name, to_key, body, created_ms
FROM board_messages(%(log_id)s, %(board)s, %(after)s, %(limit)s, %(life_ms)s);

-- name: topic
-- The topic of a board, NULL if it is none of the caller's.
SELECT board_topic(%(log_id)s, %(board)s) AS topic;
