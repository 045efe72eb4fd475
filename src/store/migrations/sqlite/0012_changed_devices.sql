-- What the log says of a session is all that changes in it but the time of its last use: where it was opened, too.
DROP TRIGGER sessions_updated;

CREATE TRIGGER sessions_updated
AFTER UPDATE OF id, user_id, created, expires, user_agent, address, claims, device_id, device_name ON sessions BEGIN
    INSERT INTO changes (kind, name) VALUES ('session', old.id);
END;
