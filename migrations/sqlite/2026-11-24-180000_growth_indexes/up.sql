-- The lines of a tenant by one kind or one person: the few that are wanted may lie far apart among very many.
CREATE INDEX audit_events_action ON audit_events (tenant_id, action, id);
CREATE INDEX audit_events_actor ON audit_events (tenant_id, actor, id);
-- What a tenant's limit counts: dead keys are kept, and are many where keys are often rotated.
CREATE INDEX api_keys_live ON api_keys (tenant_id, expires_at) WHERE revoked_at IS NULL;
-- Whether a key was rotated already.
CREATE INDEX api_keys_replaces ON api_keys (replaces) WHERE replaces IS NOT NULL;
