-- What an API key is bound to, and the token by which it is refreshed. All of it is optional: a key of before is bound to
-- nothing. The same columns, but for the types, as in ../postgres/0005_api_keys.sql.

ALTER TABLE api_keys ADD COLUMN session TEXT;
ALTER TABLE api_keys ADD COLUMN issuer TEXT;
ALTER TABLE api_keys ADD COLUMN audience TEXT;
ALTER TABLE api_keys ADD COLUMN subject TEXT;
ALTER TABLE api_keys ADD COLUMN address TEXT;
ALTER TABLE api_keys ADD COLUMN version TEXT;
ALTER TABLE api_keys ADD COLUMN not_before INTEGER;
ALTER TABLE api_keys ADD COLUMN refresh_digest TEXT;
ALTER TABLE api_keys ADD COLUMN family TEXT;
ALTER TABLE api_keys ADD COLUMN refresh_not_before INTEGER;
ALTER TABLE api_keys ADD COLUMN refresh_expires INTEGER;
ALTER TABLE api_keys ADD COLUMN replaced_by TEXT;

CREATE UNIQUE INDEX api_keys_by_refresh ON api_keys (refresh_digest);
CREATE INDEX api_keys_by_family ON api_keys (family);
CREATE INDEX api_keys_replaced ON api_keys (refresh_expires) WHERE replaced_by IS NOT NULL;
CREATE INDEX api_keys_of_sessions ON api_keys (expires) WHERE session IS NOT NULL;
