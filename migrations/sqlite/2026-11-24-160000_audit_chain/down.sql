DROP TABLE audit_checkpoints;
DROP TABLE audit_chains;
DROP INDEX audit_events_chain;
ALTER TABLE audit_events DROP COLUMN link;
ALTER TABLE audit_events DROP COLUMN sequence;
ALTER TABLE audit_events DROP COLUMN chain;
