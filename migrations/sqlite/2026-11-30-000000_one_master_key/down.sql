DROP INDEX one_master_key_in_use;
