-- What applications note about a user, a JSON object, and when it was last sent a one-time link.
ALTER TABLE users ADD COLUMN properties TEXT NOT NULL DEFAULT '{}';
ALTER TABLE users ADD COLUMN verification_sent BIGINT;
ALTER TABLE users ADD COLUMN reset_sent BIGINT;
