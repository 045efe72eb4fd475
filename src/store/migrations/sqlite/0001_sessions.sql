-- Times are milliseconds since the Unix epoch. Applied once, in a transaction of its own.

CREATE TABLE sessions (
    id         TEXT    NOT NULL PRIMARY KEY,
    user_id    TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    user_agent TEXT,
    address    TEXT,
    claims     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (user_id, created);
CREATE INDEX sessions_by_expiry ON sessions (expires);

-- A row outlives the sessions that it ended: it also ends those that are put late.
CREATE TABLE user_not_before (
    user_id    TEXT    NOT NULL PRIMARY KEY,
    not_before INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
