-- A page of a group's keys, newest first, without a look at the tenant's others.
DROP INDEX api_keys_group_id;
CREATE INDEX api_keys_group_id ON api_keys (group_id, id) WHERE group_id IS NOT NULL;
