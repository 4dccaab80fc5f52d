-- The life of a signing key: when verifiers could first know it, when it may sign, until when it stays published.
ALTER TABLE signing_keys ADD COLUMN published_at BIGINT;
ALTER TABLE signing_keys ADD COLUMN signs_at BIGINT;
ALTER TABLE signing_keys ADD COLUMN retires_at BIGINT;
-- The longest that a verifier was ever told to keep it, and the longest life of a token that it may have signed: what was
-- promised once holds after the configuration has changed.
ALTER TABLE signing_keys ADD COLUMN cache_seconds BIGINT NOT NULL DEFAULT 0;
ALTER TABLE signing_keys ADD COLUMN token_seconds BIGINT NOT NULL DEFAULT 0;
UPDATE signing_keys SET published_at = created_at;
-- However many servers begin a rotation at once, one key an algorithm waits.
CREATE UNIQUE INDEX signing_keys_one_pending ON signing_keys (algorithm) WHERE state = 'pending';

-- What tokens are signed with, as the server that started last was configured.
CREATE TABLE signing_algorithms (
    algorithm TEXT NOT NULL PRIMARY KEY
);
