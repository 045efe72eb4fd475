-- Rules of Casbin; fields is a JSON array of texts. The order in which they were added counts where a model says so.

CREATE TABLE policy_rules (
    kind       TEXT    NOT NULL,
    fields     TEXT    NOT NULL,
    place      INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    PRIMARY KEY (kind, fields)
) STRICT, WITHOUT ROWID;

-- One row: a number that every change of a rule advances, in the same transaction, also one by hand.
CREATE TABLE policy_version (
    id      INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO policy_version (id, version) VALUES (1, 0);

CREATE TRIGGER policy_rules_inserted AFTER INSERT ON policy_rules BEGIN
    UPDATE policy_version SET version = version + 1;
END;

CREATE TRIGGER policy_rules_updated AFTER UPDATE ON policy_rules BEGIN
    UPDATE policy_version SET version = version + 1;
END;

CREATE TRIGGER policy_rules_deleted AFTER DELETE ON policy_rules BEGIN
    UPDATE policy_version SET version = version + 1;
END;
