-- The highest number that was given as a user's id on authnzerver's wire: one row. A number is never given twice, also
-- where its user was deleted. The first three are those of authnzerver's own users.
CREATE TABLE user_numbers (
    last INTEGER NOT NULL
) STRICT;

INSERT INTO user_numbers VALUES (3);
