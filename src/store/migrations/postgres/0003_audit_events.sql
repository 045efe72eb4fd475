-- Audit events, to be searched by user, login name, address and kind, newest first. Times are milliseconds since the
-- Unix epoch; rest is a JSON object of fields that have no column. The id is made by the process that writes, so that
-- what is written twice is there once. Nothing refers to users: events outlive them. The same table, but for the types,
-- as in ../sqlite/0008_audit_events.sql.
CREATE TABLE audit_events (
    time     BIGINT NOT NULL,
    id       TEXT   COLLATE "C" NOT NULL,
    kind     TEXT   NOT NULL,
    user_id  TEXT,
    login    TEXT,
    address  TEXT,
    session  TEXT,
    client   TEXT,
    reason   TEXT,
    error    TEXT,
    left_out BIGINT NOT NULL,
    rest     TEXT,
    PRIMARY KEY (time, id)
);

CREATE INDEX audit_events_by_user    ON audit_events (user_id, time, id) WHERE user_id IS NOT NULL;
CREATE INDEX audit_events_by_login   ON audit_events (login, time, id)   WHERE login IS NOT NULL;
CREATE INDEX audit_events_by_address ON audit_events (address, time, id) WHERE address IS NOT NULL;
CREATE INDEX audit_events_by_kind    ON audit_events (kind, time, id);
