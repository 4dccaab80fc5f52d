-- A batch of a tenant's sessions, by their ids, without a look at its others.
DROP INDEX sessions_tenant_id;
CREATE INDEX sessions_tenant_id ON sessions (tenant_id, id);
