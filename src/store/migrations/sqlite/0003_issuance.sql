-- Times are milliseconds since the Unix epoch. Applied once, in a transaction of its own.

-- Refresh tokens and handles, by the SHA-256 of what the client has.
CREATE TABLE opaque_tokens (
    digest  BLOB    NOT NULL PRIMARY KEY,
    kind    TEXT    NOT NULL,
    session TEXT    NOT NULL,
    user_id TEXT    NOT NULL,
    client  TEXT,
    claims  TEXT    NOT NULL,
    issued  INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX opaque_tokens_by_expiry ON opaque_tokens (expires);

-- What may be done once, until then.
CREATE TABLE markers (
    name    TEXT    NOT NULL PRIMARY KEY,
    value   TEXT    NOT NULL,
    expires INTEGER NOT NULL
) STRICT;

CREATE INDEX markers_by_expiry ON markers (expires);

-- What may be done so often: the moment at which nothing of the budget is spent any more.
CREATE TABLE budgets (
    name    TEXT    NOT NULL PRIMARY KEY,
    full_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX budgets_by_end ON budgets (full_at);

-- Attempts that were counted, when the last one was, and when they are forgotten.
CREATE TABLE strikes (
    name    TEXT    NOT NULL PRIMARY KEY,
    count   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX strikes_by_expiry ON strikes (expires);
