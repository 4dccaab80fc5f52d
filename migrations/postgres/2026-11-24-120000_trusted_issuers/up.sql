-- Whose tokens stand for workloads of a tenant. A row is never changed, but for `last_used_at`.
CREATE TABLE trusted_issuers (
    id           BYTEA NOT NULL PRIMARY KEY,
    tenant_id    BYTEA NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name         TEXT   NOT NULL,
    issuer       TEXT   NOT NULL,
    audience     TEXT   NOT NULL,
    -- JSON: the values that are allowed for each claim.
    conditions   TEXT   NOT NULL,
    scopes       TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    created_by   TEXT   NOT NULL,
    last_used_at BIGINT,
    status_index BIGINT NOT NULL
);
CREATE INDEX trusted_issuers_tenant_id ON trusted_issuers (tenant_id, id);
CREATE UNIQUE INDEX trusted_issuers_status_index ON trusted_issuers (status_index);
