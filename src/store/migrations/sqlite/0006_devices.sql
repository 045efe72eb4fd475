-- The device of a session as its login named it; sessions that were opened before have none.
ALTER TABLE sessions ADD COLUMN device_id TEXT;
ALTER TABLE sessions ADD COLUMN device_name TEXT;
