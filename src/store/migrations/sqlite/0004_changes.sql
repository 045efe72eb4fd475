-- What was changed, for the other processes that remember what they read: noted by triggers, so that a change by hand
-- is known as well, in the transaction that makes it. What is only added was read by nobody; when a session was used
-- last is nobody's business. A process asks for what is above the seq that it saw last; a number that is missing was
-- forgotten to make room, and the highest never is.
CREATE TABLE changes (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL
) STRICT;

CREATE TRIGGER sessions_deleted AFTER DELETE ON sessions BEGIN
    INSERT INTO changes (kind, name) VALUES ('session', old.id);
END;

-- INSERT OR REPLACE deletes what was there, and no trigger hears of that.
CREATE TRIGGER sessions_replaced BEFORE INSERT ON sessions WHEN EXISTS (SELECT 1 FROM sessions WHERE id = new.id) BEGIN
    INSERT INTO changes (kind, name) VALUES ('session', new.id);
END;

CREATE TRIGGER sessions_updated AFTER UPDATE OF id, user_id, created, expires, claims ON sessions BEGIN
    INSERT INTO changes (kind, name) VALUES ('session', old.id);
END;

CREATE TRIGGER user_not_before_inserted AFTER INSERT ON user_not_before BEGIN
    INSERT INTO changes (kind, name) VALUES ('user', new.user_id);
END;

CREATE TRIGGER user_not_before_updated AFTER UPDATE ON user_not_before BEGIN
    INSERT INTO changes (kind, name) VALUES ('user', new.user_id);
END;

CREATE TRIGGER opaque_tokens_deleted AFTER DELETE ON opaque_tokens BEGIN
    INSERT INTO changes (kind, name) VALUES ('token', hex(old.digest));
END;

CREATE TRIGGER opaque_tokens_replaced BEFORE INSERT ON opaque_tokens
WHEN EXISTS (SELECT 1 FROM opaque_tokens WHERE digest = new.digest) BEGIN
    INSERT INTO changes (kind, name) VALUES ('token', hex(new.digest));
END;

CREATE TRIGGER opaque_tokens_updated AFTER UPDATE ON opaque_tokens BEGIN
    INSERT INTO changes (kind, name) VALUES ('token', hex(old.digest));
END;
