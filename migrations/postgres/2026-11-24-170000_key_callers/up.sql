-- Who presented which secret of a key. `secret` is the place of the secret's tokens in the status lists, which no other secret
-- has; an empty `ip` stands for all whom there was no room for.
CREATE TABLE api_key_callers (
    api_key_id   BYTEA NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    secret       BIGINT NOT NULL,
    ip           TEXT NOT NULL,
    user_agent   TEXT NOT NULL,
    times        BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    PRIMARY KEY (api_key_id, secret, ip, user_agent)
);
CREATE INDEX api_key_callers_last_seen_at ON api_key_callers (last_seen_at);
