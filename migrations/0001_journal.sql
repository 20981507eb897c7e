-- The journal: facts, what they are about, deliveries, followers, leases.
-- Runs unchanged on SQLite and PostgreSQL.

-- Append-only. The envelope (all but salt and body) is chained for ever; salt and body may be erased.
-- seq and chain are given once, after commit, by the audit follower.
CREATE TABLE fact (
    id TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    actor TEXT NOT NULL,
    request_id TEXT,
    digest TEXT NOT NULL,
    salt TEXT,
    body TEXT,
    seq BIGINT,
    chain TEXT
);
CREATE UNIQUE INDEX fact_seq ON fact (seq) WHERE seq IS NOT NULL;
CREATE INDEX fact_unsequenced ON fact (at, id) WHERE seq IS NULL;
CREATE INDEX fact_subject ON fact (subject, at);
CREATE INDEX fact_kind ON fact (kind, at);

CREATE TABLE fact_about (
    fact TEXT NOT NULL,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL
);
CREATE INDEX fact_about_subject ON fact_about (subject, fact);

-- One row a message, or one row per sink and subject of a reconciler.
CREATE TABLE delivery (
    id TEXT NOT NULL PRIMARY KEY,
    sink TEXT NOT NULL,
    subject TEXT NOT NULL,
    fact TEXT NOT NULL,
    reconcile BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    done_version BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    -- NULL: a reconciler's row with nothing to do.
    due_at BIGINT,
    attempt BIGINT NOT NULL DEFAULT 0,
    claim BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    position BIGINT NOT NULL,
    last_error TEXT,
    dead_at BIGINT
);
CREATE UNIQUE INDEX delivery_sink_subject ON delivery (sink, subject) WHERE reconcile;
-- One priority at a time, so that the first row of the index is the next to claim.
CREATE INDEX delivery_due ON delivery (sink, priority, due_at, position) WHERE due_at IS NOT NULL AND dead_at IS NULL;
CREATE INDEX delivery_order ON delivery (sink, subject, position) WHERE NOT reconcile;
CREATE INDEX delivery_dead ON delivery (dead_at, id) WHERE dead_at IS NOT NULL;

-- How far a reader of the journal has come.
CREATE TABLE follower (
    name TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);

-- Who may do what only one node does.
CREATE TABLE lease (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL
);
