-- Times are microseconds since the Unix epoch (UTC); ids are the 16 bytes of a UUID.
-- A column named `sealed_*` is encrypted under the master key (AES-256-GCM).

CREATE TABLE tenants (
    id            BLOB NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    project_token TEXT    NOT NULL UNIQUE,
    plan          TEXT,
    created_at    BIGINT  NOT NULL,
    suspended_at  BIGINT
);

CREATE TABLE users (
    id                  BLOB NOT NULL PRIMARY KEY,
    email               TEXT    NOT NULL UNIQUE,
    password_hash       TEXT    NOT NULL,
    operator            BOOLEAN NOT NULL,
    created_at          BIGINT  NOT NULL,
    password_changed_at BIGINT  NOT NULL,
    last_login_at       BIGINT,
    disabled_at         BIGINT
);

CREATE TABLE memberships (
    tenant_id  BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    user_id    BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_user_id ON memberships (user_id);

-- One login. The refresh token of a generation is computed, never stored.
CREATE TABLE sessions (
    id             BLOB NOT NULL PRIMARY KEY,
    user_id        BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    tenant_id      BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    generation     BIGINT  NOT NULL,
    grace_uses     BIGINT  NOT NULL,
    created_at     BIGINT  NOT NULL,
    rotated_at     BIGINT  NOT NULL,
    expires_at     BIGINT  NOT NULL,
    ends_at        BIGINT  NOT NULL,
    revoked_at     BIGINT,
    revoked_reason TEXT,
    ip             TEXT,
    user_agent     TEXT
);
CREATE INDEX sessions_user_id ON sessions (user_id, id);
CREATE INDEX sessions_tenant_id ON sessions (tenant_id);
CREATE INDEX sessions_ends_at ON sessions (ends_at);

CREATE TABLE api_keys (
    id            BLOB NOT NULL PRIMARY KEY,
    tenant_id     BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name          TEXT    NOT NULL,
    key_hash      BLOB NOT NULL UNIQUE,
    hint          TEXT    NOT NULL,
    environment   TEXT    NOT NULL,
    scopes        TEXT    NOT NULL,
    allowed_ips   TEXT    NOT NULL,
    contact_email TEXT,
    replaces      BLOB,
    created_at    BIGINT  NOT NULL,
    created_by    TEXT    NOT NULL,
    expires_at    BIGINT,
    revoked_at    BIGINT,
    last_used_at  BIGINT
);
CREATE INDEX api_keys_tenant_id ON api_keys (tenant_id, id);

CREATE TABLE signing_keys (
    kid            TEXT    NOT NULL PRIMARY KEY,
    algorithm      TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    public_jwk     TEXT    NOT NULL,
    sealed_private BLOB NOT NULL,
    created_at     BIGINT  NOT NULL,
    activated_at   BIGINT,
    retired_at     BIGINT
);
-- However many servers start at once, one key an algorithm signs.
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (algorithm) WHERE state = 'active';

-- The server's own symmetric keys, by purpose.
CREATE TABLE secrets (
    name         TEXT    NOT NULL PRIMARY KEY,
    sealed_value BLOB NOT NULL,
    created_at   BIGINT  NOT NULL
);

-- Answers kept for `Idempotency-Key`.
CREATE TABLE idempotency_records (
    tenant_id     BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    key_hash      BLOB NOT NULL,
    request_hash  BLOB NOT NULL,
    sealed_answer BLOB NOT NULL,
    created_at    BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, key_hash)
);
CREATE INDEX idempotency_records_expires_at ON idempotency_records (expires_at);

-- No foreign keys: what happened outlives what it happened to.
CREATE TABLE audit_events (
    id         BLOB NOT NULL PRIMARY KEY,
    at         BIGINT  NOT NULL,
    tenant_id  BLOB,
    action     TEXT    NOT NULL,
    outcome    TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    target     TEXT,
    ip         TEXT,
    user_agent TEXT,
    request_id TEXT,
    details    TEXT
);
CREATE INDEX audit_events_tenant_id ON audit_events (tenant_id, id);
