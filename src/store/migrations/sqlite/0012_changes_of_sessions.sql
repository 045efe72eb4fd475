-- What the log says of a session is all that an answer can depend on: where it was opened, too. Only a use of it, which sets
-- last_seen forward, is nobody's business. UPDATE OR REPLACE may put a session in the place of another one.
DROP TRIGGER sessions_updated;

CREATE TRIGGER sessions_updated
AFTER UPDATE OF id, user_id, created, expires, user_agent, address, claims, device_id, device_name ON sessions BEGIN
    INSERT INTO changes (kind, name) VALUES ('session', old.id);
    INSERT INTO changes (kind, name) SELECT 'session', new.id WHERE new.id <> old.id;
END;

CREATE TRIGGER sessions_set_back AFTER UPDATE OF last_seen ON sessions WHEN new.last_seen < old.last_seen BEGIN
    INSERT INTO changes (kind, name) VALUES ('session', old.id);
END;
