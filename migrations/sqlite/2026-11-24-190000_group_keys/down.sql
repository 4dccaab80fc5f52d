DROP INDEX api_keys_group_id;
CREATE INDEX api_keys_group_id ON api_keys (group_id) WHERE group_id IS NOT NULL;
