-- Of servers that start together with different master keys one names its own: there is one in use. Where there were two, one of
-- them sealed nothing.
DELETE FROM master_keys
WHERE successor IS NULL
  AND EXISTS (SELECT 1 FROM secrets WHERE master_key IS NOT NULL AND master_key <> master_keys.id)
  AND NOT EXISTS (SELECT 1 FROM secrets WHERE master_key = master_keys.id)
  AND NOT EXISTS (SELECT 1 FROM signing_keys WHERE master_key = master_keys.id)
  AND NOT EXISTS (SELECT 1 FROM idempotency_records WHERE master_key = master_keys.id)
  AND NOT EXISTS (SELECT 1 FROM master_keys AS earlier WHERE earlier.successor = master_keys.id);
CREATE UNIQUE INDEX one_master_key_in_use ON master_keys ((successor IS NULL)) WHERE successor IS NULL;
