-- As in sqlite/, column by column. Text is compared byte by byte, as there.
CREATE TABLE meta (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL,
    compacted BIGINT NOT NULL
);
INSERT INTO meta (id, revision, compacted) VALUES (1, 0, 0);

CREATE TABLE records (
    revision BIGINT PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    gateway TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    sandbox TEXT COLLATE "C" NOT NULL,
    uid TEXT COLLATE "C" NOT NULL,
    etag TEXT NOT NULL,
    state BIGINT NOT NULL,
    is_default BIGINT NOT NULL,
    superseded BIGINT,
    digest BYTEA NOT NULL,
    message BYTEA NOT NULL
);
CREATE UNIQUE INDEX records_current ON records (name) WHERE superseded IS NULL;
CREATE UNIQUE INDEX records_default ON records (is_default) WHERE superseded IS NULL AND is_default = 1;
CREATE INDEX records_by_name ON records (name, revision);
CREATE INDEX records_by_sandbox ON records (sandbox, name);
CREATE INDEX records_by_gateway ON records (gateway, state) WHERE superseded IS NULL;
CREATE INDEX records_superseded ON records (superseded) WHERE superseded IS NOT NULL;

CREATE TABLE material (
    uid TEXT COLLATE "C" NOT NULL,
    field TEXT COLLATE "C" NOT NULL,
    key_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (uid, field)
);

CREATE TABLE leases (
    name TEXT COLLATE "C" PRIMARY KEY,
    fence_token BIGINT NOT NULL,
    holder TEXT NOT NULL,
    expire_ms BIGINT NOT NULL
);

CREATE TABLE requests (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    fingerprint BYTEA NOT NULL,
    answer BYTEA NOT NULL
);

CREATE TABLE gateways (
    name TEXT COLLATE "C" PRIMARY KEY,
    etag TEXT NOT NULL,
    digest BYTEA NOT NULL,
    message BYTEA NOT NULL,
    heartbeat BYTEA
);

-- Every change moves the revision, once in its transaction: that is the word to the other replicas.
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('salvor:' || TG_TABLE_SCHEMA, '');
    RETURN NULL;
END $$;
CREATE TRIGGER meta_changed AFTER UPDATE OF revision ON meta FOR EACH ROW EXECUTE FUNCTION tell();
