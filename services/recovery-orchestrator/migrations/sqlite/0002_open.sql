-- An index of what the journal says, kept by the database itself, so that looking for what is open reads nothing else: whether
-- a recovery was refused or has an event that ends it.
ALTER TABLE recoveries ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
UPDATE recoveries SET ended = 1
    WHERE allowed = 0 OR name IN (SELECT recovery FROM journal WHERE terminal = 1);
CREATE INDEX recoveries_open ON recoveries (created_ms, name) WHERE ended = 0;
CREATE INDEX recoveries_open_by_sandbox ON recoveries (sandbox) WHERE ended = 0;
DROP INDEX journal_ends;
CREATE TRIGGER journal_ended AFTER INSERT ON journal WHEN NEW.terminal = 1
BEGIN
    UPDATE recoveries SET ended = 1 WHERE name = NEW.recovery;
END;

-- The newest lease under which it was taken up: what runs under an older one appends nothing any more.
ALTER TABLE recoveries ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;

-- In the order in which they are listed.
DROP INDEX decisions_by_sandbox;
CREATE INDEX decisions_of_sandbox ON decisions (sandbox);

CREATE TABLE cancellations (
    recovery TEXT PRIMARY KEY REFERENCES recoveries (name),
    asked_ms INTEGER NOT NULL
) STRICT;
