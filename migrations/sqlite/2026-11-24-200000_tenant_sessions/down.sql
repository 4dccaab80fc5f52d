DROP INDEX sessions_tenant_id;
CREATE INDEX sessions_tenant_id ON sessions (tenant_id);
