-- The place of a session or an API key in the status lists. It is given once and never again; 0 is nobody's.
ALTER TABLE sessions ADD COLUMN status_index BIGINT NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN status_index BIGINT NOT NULL DEFAULT 0;
-- Where a rotation keeps the row: the place of the secret before this one.
ALTER TABLE api_keys ADD COLUMN previous_status_index BIGINT;

UPDATE sessions SET status_index = numbered.place
FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS place FROM sessions) AS numbered
WHERE numbered.id = sessions.id;
UPDATE api_keys SET status_index = numbered.place + (SELECT COUNT(*) FROM sessions)
FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS place FROM api_keys) AS numbered
WHERE numbered.id = api_keys.id;

CREATE UNIQUE INDEX sessions_status_index ON sessions (status_index);
CREATE UNIQUE INDEX api_keys_status_index ON api_keys (status_index);

-- The first place that nobody has; servers take them in blocks.
CREATE TABLE status_counter (
    id   BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    next BIGINT NOT NULL
);
INSERT INTO status_counter (id, next)
SELECT 1, 1 + (SELECT COUNT(*) FROM sessions) + (SELECT COUNT(*) FROM api_keys);

-- What is revoked and has no row any more: no foreign keys, it outlives whose it was.
CREATE TABLE ended_statuses (
    status_index BIGINT NOT NULL PRIMARY KEY,
    ended_at     BIGINT NOT NULL
);
CREATE INDEX ended_statuses_ended_at ON ended_statuses (ended_at);

-- What has ended a short while ago is asked for all the time.
CREATE INDEX sessions_revoked_at ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_keys_revoked_at ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_keys_expires_at ON api_keys (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX api_keys_secret_changed_at ON api_keys (secret_changed_at) WHERE secret_changed_at IS NOT NULL;
CREATE INDEX api_keys_previous_until ON api_keys (previous_until) WHERE previous_until IS NOT NULL;
CREATE INDEX tenants_suspended_at ON tenants (suspended_at) WHERE suspended_at IS NOT NULL;
