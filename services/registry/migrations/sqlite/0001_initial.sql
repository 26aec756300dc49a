CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL,   -- last one given
    compacted INTEGER NOT NULL   -- changes up to it may be gone
) STRICT;
INSERT INTO meta (id, revision, compacted) VALUES (1, 0, 0);

-- Each version of each record. The present one has superseded NULL; the others stay until the log is compacted past
-- the revision that superseded them, so every revision after meta.compacted can be shown again in full.
CREATE TABLE records (
    revision INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    gateway TEXT NOT NULL,
    workspace TEXT NOT NULL,
    sandbox TEXT NOT NULL,
    uid TEXT NOT NULL,
    etag TEXT NOT NULL,
    state INTEGER NOT NULL,
    is_default INTEGER NOT NULL,
    superseded INTEGER,
    digest BLOB NOT NULL,        -- SHA-256 over the columns above and the message
    message BLOB NOT NULL        -- salvor.registry.v1.Sandbox without secret bytes
) STRICT;
CREATE UNIQUE INDEX records_current ON records (name) WHERE superseded IS NULL;
CREATE UNIQUE INDEX records_default ON records (is_default) WHERE superseded IS NULL AND is_default = 1;
CREATE INDEX records_by_name ON records (name, revision);
CREATE INDEX records_by_sandbox ON records (sandbox, name);
CREATE INDEX records_by_gateway ON records (gateway, state) WHERE superseded IS NULL;
CREATE INDEX records_superseded ON records (superseded) WHERE superseded IS NOT NULL;

-- The secret bytes of present records.
CREATE TABLE material (
    uid TEXT NOT NULL,
    field TEXT NOT NULL,         -- spec or policy
    key_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,        -- of the plain content
    sealed BLOB NOT NULL,        -- nonce, ciphertext, tag
    PRIMARY KEY (uid, field)
) STRICT;

-- A row stays for ever: the fence token must rise beyond every one given for that name.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    fence_token INTEGER NOT NULL,
    holder TEXT NOT NULL,
    expire_ms INTEGER NOT NULL   -- 0: released
) STRICT;

CREATE TABLE requests (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    fingerprint BLOB NOT NULL,
    answer BLOB NOT NULL
) STRICT;

CREATE TABLE gateways (
    name TEXT PRIMARY KEY,
    etag TEXT NOT NULL,
    digest BLOB NOT NULL,
    message BLOB NOT NULL,       -- salvor.registry.v1.Gateway without its heartbeat
    heartbeat BLOB               -- salvor.registry.v1.GatewayHeartbeat as last written down
) STRICT;
