-- Each line of the audit log rests on the one before it in its chain: a tenant's, or the one (nil UUID) of what concerns none.
-- Lines that are older than this have no place in a chain.
ALTER TABLE audit_events ADD COLUMN chain BLOB;
ALTER TABLE audit_events ADD COLUMN sequence BIGINT;
ALTER TABLE audit_events ADD COLUMN link BLOB;
CREATE UNIQUE INDEX audit_events_chain ON audit_events (chain, sequence);

-- Where each chain ends; up to where it was forgotten, for its age; up to where its end was signed.
CREATE TABLE audit_chains (
    id         BLOB NOT NULL PRIMARY KEY,
    sequence   BIGINT NOT NULL,
    link       BLOB NOT NULL,
    forgotten  BIGINT NOT NULL,
    signed     BIGINT NOT NULL
);
CREATE INDEX audit_chains_unsigned ON audit_chains (id) WHERE signed < sequence;

-- Where chains ended at some moments: JWS, each of which names the one before it.
CREATE TABLE audit_checkpoints (
    number     BIGINT NOT NULL PRIMARY KEY,
    token      TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);
