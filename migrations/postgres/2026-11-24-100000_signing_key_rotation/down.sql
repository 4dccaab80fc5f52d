DROP TABLE signing_algorithms;
DROP INDEX signing_keys_one_pending;
ALTER TABLE signing_keys DROP COLUMN token_seconds;
ALTER TABLE signing_keys DROP COLUMN cache_seconds;
ALTER TABLE signing_keys DROP COLUMN retires_at;
ALTER TABLE signing_keys DROP COLUMN signs_at;
ALTER TABLE signing_keys DROP COLUMN published_at;
