ALTER TABLE instances DROP COLUMN master_key;
ALTER TABLE instances DROP COLUMN name;
DROP INDEX idempotency_records_by_master_key;
DROP INDEX signing_keys_by_master_key;
DROP INDEX secrets_by_master_key;
ALTER TABLE idempotency_records DROP COLUMN master_key;
ALTER TABLE signing_keys DROP COLUMN master_key;
ALTER TABLE secrets DROP COLUMN master_key;
DROP TABLE master_keys;
