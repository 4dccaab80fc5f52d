-- The master key in use, by its fingerprint; while it is being replaced, the one before too. Each opens the other, so that a
-- server which has either of them reads whatever is sealed.
CREATE TABLE master_keys (
    id           TEXT   NOT NULL PRIMARY KEY,
    created_at   BIGINT NOT NULL,
    -- The key that takes its place; none has the one in use.
    successor    TEXT UNIQUE,
    -- The other key, encrypted under this one.
    sealed_other BYTEA
);

-- What each sealed value is encrypted under: a key goes only when nothing needs it any more.
ALTER TABLE secrets ADD COLUMN master_key TEXT REFERENCES master_keys (id);
ALTER TABLE signing_keys ADD COLUMN master_key TEXT REFERENCES master_keys (id);
ALTER TABLE idempotency_records ADD COLUMN master_key TEXT REFERENCES master_keys (id);
CREATE INDEX secrets_by_master_key ON secrets (master_key);
CREATE INDEX signing_keys_by_master_key ON signing_keys (master_key);
CREATE INDEX idempotency_records_by_master_key ON idempotency_records (master_key);

-- What a server calls itself, and the master key that it would start with now.
ALTER TABLE instances ADD COLUMN name TEXT;
ALTER TABLE instances ADD COLUMN master_key TEXT;
