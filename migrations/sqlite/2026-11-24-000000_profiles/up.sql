-- What profiles speak of. The scopes of a key in a group are its group's, copied when the key was made: neither changes.
ALTER TABLE api_keys ADD COLUMN access_type TEXT;
ALTER TABLE api_keys ADD COLUMN group_id BLOB;
-- JSON: a list of values for each name; none where the key has no constraint.
ALTER TABLE api_keys ADD COLUMN constraints TEXT;
-- Where the format is id + secret a rotation keeps the row: the secret before this one, and until when it works.
ALTER TABLE api_keys ADD COLUMN previous_hash BLOB;
ALTER TABLE api_keys ADD COLUMN previous_until BIGINT;
ALTER TABLE api_keys ADD COLUMN secret_changed_at BIGINT;
CREATE UNIQUE INDEX api_keys_previous_hash ON api_keys (previous_hash) WHERE previous_hash IS NOT NULL;
CREATE INDEX api_keys_group_id ON api_keys (group_id) WHERE group_id IS NOT NULL;

CREATE TABLE key_groups (
    id          BLOB NOT NULL PRIMARY KEY,
    tenant_id   BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name        TEXT    NOT NULL,
    access_type TEXT,
    scopes      TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL,
    created_by  TEXT    NOT NULL
);
CREATE INDEX key_groups_tenant_id ON key_groups (tenant_id, id);

-- Public names of a tenant's apps: they open nothing.
CREATE TABLE app_identifiers (
    id         BLOB NOT NULL PRIMARY KEY,
    tenant_id  BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    platform   TEXT,
    created_at BIGINT  NOT NULL,
    created_by TEXT    NOT NULL
);
CREATE INDEX app_identifiers_tenant_id ON app_identifiers (tenant_id, id);

-- Days are counted from 1970-01-01 (UTC). `outcome` is `success` or the code of a refusal.
CREATE TABLE api_key_usage (
    api_key_id BLOB NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    day        BIGINT NOT NULL,
    outcome    TEXT   NOT NULL,
    times      BIGINT NOT NULL,
    PRIMARY KEY (api_key_id, day, outcome)
);
CREATE INDEX api_key_usage_day ON api_key_usage (day);

CREATE TABLE api_key_scope_usage (
    api_key_id BLOB NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    day        BIGINT NOT NULL,
    scope      TEXT   NOT NULL,
    times      BIGINT NOT NULL,
    PRIMARY KEY (api_key_id, day, scope)
);
CREATE INDEX api_key_scope_usage_day ON api_key_scope_usage (day);

-- The servers that run now, so that each knows its share of a limit.
CREATE TABLE instances (
    id      BLOB NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
);
