-- A user's sessions that are not revoked, without a look at those that are: there may be very many.
CREATE INDEX sessions_live ON sessions (user_id, id) WHERE revoked_at IS NULL;
-- Those beyond the most that one may have end, as they would have ended with the login that was one too many.
UPDATE sessions SET revoked_reason = 'too_many', revoked_at = CAST(extract(epoch FROM now()) * 1000000 AS BIGINT)
WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY user_id ORDER BY rotated_at DESC) AS place FROM sessions WHERE revoked_at IS NULL
    ) AS counted WHERE place > 10000
);
