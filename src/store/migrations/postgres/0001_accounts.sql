-- Times are milliseconds since the Unix epoch; roles, scopes, grants and audiences are JSON arrays of texts, claims
-- and jwks JSON objects. The same tables, but for the types, as in ../sqlite/0002_accounts.sql. Ids sort by their
-- bytes, as in SQLite.

CREATE TABLE users (
    id             TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    username       TEXT    NOT NULL,
    email          TEXT,
    email_verified BOOLEAN NOT NULL,
    full_name      TEXT,
    kind           TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    roles          TEXT    NOT NULL,
    scopes         TEXT    NOT NULL,
    claims         TEXT    NOT NULL,
    password       TEXT,
    created        BIGINT  NOT NULL,
    updated        BIGINT  NOT NULL,
    last_login     BIGINT
);

-- Usernames and e-mails in their canonical form: one namespace, so that no e-mail is another's username.
CREATE TABLE login_names (
    canonical TEXT NOT NULL PRIMARY KEY,
    user_id   TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX login_names_by_user ON login_names (user_id);

CREATE TABLE api_keys (
    id        TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    user_id   TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    digest    TEXT    NOT NULL UNIQUE,
    label     TEXT,
    scopes    TEXT    NOT NULL,
    created   BIGINT  NOT NULL,
    expires   BIGINT,
    last_used BIGINT
);

CREATE INDEX api_keys_by_user ON api_keys (user_id, created);
CREATE INDEX api_keys_by_age ON api_keys (created);

-- secrets is a JSON array of {"digest", "expires"}.
CREATE TABLE clients (
    id          TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    label       TEXT,
    secrets     TEXT    NOT NULL,
    jwks        TEXT,
    grants      TEXT    NOT NULL,
    scopes      TEXT    NOT NULL,
    audiences   TEXT    NOT NULL,
    introspects BOOLEAN NOT NULL,
    created     BIGINT  NOT NULL
);
