DROP INDEX api_keys_replaces;
DROP INDEX api_keys_live;
DROP INDEX audit_events_actor;
DROP INDEX audit_events_action;
ALTER TABLE api_keys RESET (fillfactor);
ALTER TABLE sessions RESET (fillfactor);
