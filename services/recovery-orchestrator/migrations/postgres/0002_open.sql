-- As in sqlite/.
ALTER TABLE recoveries ADD COLUMN ended BIGINT NOT NULL DEFAULT 0;
UPDATE recoveries SET ended = 1
    WHERE allowed = 0 OR name IN (SELECT recovery FROM journal WHERE terminal = 1);
CREATE INDEX recoveries_open ON recoveries (created_ms, name) WHERE ended = 0;
CREATE INDEX recoveries_open_by_sandbox ON recoveries (sandbox) WHERE ended = 0;

-- The newest lease under which it was taken up: what runs under an older one appends nothing any more.
ALTER TABLE recoveries ADD COLUMN fence BIGINT NOT NULL DEFAULT 0;

-- In the order in which they are listed.
DROP INDEX decisions_by_sandbox;
CREATE INDEX decisions_of_sandbox ON decisions (sandbox, rowid);

CREATE TABLE cancellations (
    recovery TEXT COLLATE "C" PRIMARY KEY REFERENCES recoveries (name),
    asked_ms BIGINT NOT NULL
);

CREATE FUNCTION ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE recoveries SET ended = 1 WHERE name = NEW.recovery;
    RETURN NULL;
END $$;
CREATE TRIGGER journal_ended AFTER INSERT ON journal
    FOR EACH ROW WHEN (NEW.terminal = 1) EXECUTE FUNCTION ended();

-- The word to the other replicas, of which recovery.
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('salvor:' || TG_TABLE_SCHEMA, NEW.recovery);
    RETURN NULL;
END $$;
CREATE TRIGGER journal_told AFTER INSERT ON journal FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER cancellations_told AFTER INSERT ON cancellations FOR EACH ROW EXECUTE FUNCTION tell();
