-- The processed state, what waits, and what was refused (processing.md §1).
-- Times are microseconds since the Unix epoch. Amounts are decimal texts.

-- What is known of a hash that is not in `messages`: pending, rejected,
-- forgotten, removed. A processed message has no row here.
CREATE TABLE message_status (
    item_hash      TEXT PRIMARY KEY,
    status         TEXT NOT NULL,
    reception_time INTEGER NOT NULL
) WITHOUT ROWID;

-- An id is never given twice: a retry holds it while the row may go.
CREATE TABLE pending (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    item_hash      TEXT NOT NULL,
    sender         TEXT NOT NULL,
    signature      TEXT NOT NULL,
    message        TEXT NOT NULL,
    retries        INTEGER NOT NULL DEFAULT 0,
    next_attempt   INTEGER NOT NULL,
    waits_for      TEXT,
    error_code     INTEGER,
    details        TEXT,
    reception_time INTEGER NOT NULL,
    origin         TEXT NOT NULL,
    UNIQUE (sender, item_hash, signature)
);
CREATE INDEX pending_due ON pending (next_attempt);
CREATE INDEX pending_hash ON pending (item_hash);
CREATE INDEX pending_waits ON pending (waits_for) WHERE waits_for IS NOT NULL;

CREATE TABLE rejected (
    item_hash  TEXT PRIMARY KEY,
    message    TEXT NOT NULL,
    error_code INTEGER NOT NULL,
    details    TEXT
) WITHOUT ROWID;

-- Addresses, channels, post types and keys, once each: the columns that name
-- them hold the id.
CREATE TABLE names (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
);

-- `body` is the content: the text of an inline message, else the fetched
-- content. It is last: long rows keep their short columns on the first page.
-- `prefix` is the first eight bytes of the hash, in its order.
-- type: 0 POST, 1 AGGREGATE, 2 STORE, 3 PROGRAM, 4 INSTANCE, 5 V-PROGRAM,
-- 6 FORGET. status: 0 processed, 1 removing. `confirmed` and `height` are time
-- and block of the earliest confirmation; the greatest integer = none yet.
CREATE TABLE messages (
    id             INTEGER PRIMARY KEY,
    prefix         INTEGER NOT NULL,
    item_hash      TEXT NOT NULL,
    type           INTEGER NOT NULL,
    status         INTEGER NOT NULL,
    chain          TEXT NOT NULL,
    sender         INTEGER NOT NULL,
    owner          INTEGER NOT NULL,
    channel        INTEGER,
    time           INTEGER NOT NULL,
    reception_time INTEGER NOT NULL,
    size           INTEGER NOT NULL,
    signature      TEXT,
    item_type      TEXT NOT NULL,
    content_type   INTEGER,
    content_ref    TEXT,
    content_key    INTEGER,
    content_hash   TEXT,
    payment_type   TEXT,
    confirmed      INTEGER NOT NULL DEFAULT 9223372036854775807,
    height         INTEGER NOT NULL DEFAULT 9223372036854775807,
    body           TEXT NOT NULL
);
CREATE INDEX messages_hash ON messages (prefix);
-- The others are in the order of time and hash, so that a page is a range scan,
-- and end in what a second filter asks for, so that rows that do not match are
-- passed without being read. Those that grow in the order of arrival ascend
-- (appending is cheap) and are read backwards. Common types are found by time;
-- an owner who signed himself is found as a sender.
CREATE INDEX messages_time ON messages (time, prefix DESC, type, status);
CREATE INDEX messages_reception ON messages (reception_time, prefix DESC, status);
CREATE INDEX messages_confirmed ON messages
    (confirmed, time, prefix DESC, height, type, status, sender, owner, channel, content_type);
CREATE INDEX messages_type ON messages (type, time DESC, prefix, status, sender, owner, channel, content_type)
    WHERE type > 1;
CREATE INDEX messages_sender ON messages
    (sender, time DESC, prefix, type, status, owner, channel, content_type);
CREATE INDEX messages_owner ON messages
    (owner, time DESC, prefix, type, status, sender, channel, content_type) WHERE owner <> sender;
CREATE INDEX messages_channel ON messages
    (channel, time DESC, prefix, type, status, sender, owner, content_type) WHERE channel IS NOT NULL;
CREATE INDEX messages_content_type ON messages
    (content_type, time DESC, prefix, type, status, sender, owner, channel) WHERE content_type IS NOT NULL;
CREATE INDEX messages_ref ON messages
    (content_ref, time DESC, prefix, type, status, sender, owner, channel, content_type)
    WHERE content_ref IS NOT NULL;
CREATE INDEX messages_key ON messages
    (content_key, time DESC, prefix, type, status, sender, owner, channel) WHERE content_key IS NOT NULL;
CREATE INDEX messages_content_hash ON messages (content_hash, time DESC, prefix, status)
    WHERE content_hash IS NOT NULL;
CREATE INDEX messages_payment ON messages (payment_type, time DESC, prefix, status)
    WHERE payment_type IS NOT NULL;
CREATE INDEX messages_chain ON messages (chain, time DESC, prefix, status) WHERE chain <> 'ETH';
CREATE INDEX messages_removing ON messages (time DESC, prefix) WHERE status = 1;

-- `tag` is a name, `id` a message, `time` that of its envelope.
CREATE TABLE message_tags (
    tag          INTEGER NOT NULL,
    time         INTEGER NOT NULL,
    prefix       INTEGER NOT NULL,
    id           INTEGER NOT NULL,
    type         INTEGER NOT NULL,
    sender       INTEGER NOT NULL,
    owner        INTEGER NOT NULL,
    channel      INTEGER,
    content_type INTEGER,
    PRIMARY KEY (tag, time DESC, prefix, id)
) WITHOUT ROWID;
CREATE INDEX message_tags_message ON message_tags (id);

-- Messages in force by span of time, and the sums of their hashes: what two
-- nodes compare (protocol, reconcile). Spans of a level have 64 times the length
-- of the one before.
CREATE TABLE time_sums (
    level INTEGER NOT NULL,
    span  INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sum   BLOB NOT NULL,
    PRIMARY KEY (level, span)
) WITHOUT ROWID;

-- How many messages are stored, by type and status; kept by the writer.
CREATE TABLE counters (
    type   INTEGER NOT NULL,
    status INTEGER NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (type, status)
) WITHOUT ROWID;

-- The same by a property of the message: `dimension` says which, `name` its
-- value (see tallies.rs).
CREATE TABLE tallies (
    dimension INTEGER NOT NULL,
    name      INTEGER NOT NULL,
    type      INTEGER NOT NULL,
    count     INTEGER NOT NULL,
    PRIMARY KEY (dimension, name, type)
) WITHOUT ROWID;

-- Processed messages by who signed them (`id` of `names`), kept by the writer.
-- V-PROGRAM counts in `messages` alone.
CREATE TABLE senders (
    id        INTEGER PRIMARY KEY,
    address   TEXT NOT NULL,
    messages  INTEGER NOT NULL,
    post      INTEGER NOT NULL,
    aggregate INTEGER NOT NULL,
    store     INTEGER NOT NULL,
    program   INTEGER NOT NULL,
    instance  INTEGER NOT NULL,
    forget    INTEGER NOT NULL
);

-- The state digest: one homomorphic sum per part of the state.
CREATE TABLE digest (
    part INTEGER PRIMARY KEY,
    sum  BLOB NOT NULL
);

CREATE TABLE forgotten (
    item_hash    TEXT PRIMARY KEY,
    type         TEXT NOT NULL,
    chain        TEXT NOT NULL,
    sender       TEXT NOT NULL,
    signature    TEXT,
    item_type    TEXT NOT NULL,
    time         INTEGER NOT NULL,
    channel      TEXT,
    owner        TEXT NOT NULL,
    payment_type TEXT NOT NULL,
    size         INTEGER,
    forgotten_at INTEGER NOT NULL,
    forgotten_by TEXT NOT NULL
) WITHOUT ROWID;

-- `id`, `amends` and `latest` are ids of `messages`; `confirmed` is that of the
-- message `id`.
CREATE TABLE posts (
    id           INTEGER PRIMARY KEY,
    prefix       INTEGER NOT NULL,
    owner        INTEGER NOT NULL,
    type         INTEGER NOT NULL,
    channel      INTEGER,
    amends       INTEGER,
    latest       INTEGER,
    created      INTEGER NOT NULL,
    last_updated INTEGER NOT NULL,
    confirmed    INTEGER NOT NULL DEFAULT 9223372036854775807,
    ref          TEXT
);
CREATE INDEX posts_amends ON posts (amends) WHERE amends IS NOT NULL;
CREATE INDEX posts_updated ON posts (last_updated, prefix DESC) WHERE amends IS NULL;
CREATE INDEX posts_confirmed ON posts (confirmed, created, owner, type, channel) WHERE amends IS NULL;
CREATE INDEX posts_owner ON posts (owner, last_updated DESC, prefix, type, channel) WHERE amends IS NULL;
CREATE INDEX posts_type ON posts (type, last_updated DESC, prefix, owner, channel) WHERE amends IS NULL;
CREATE INDEX posts_ref ON posts (ref, last_updated DESC, prefix, owner, type, channel)
    WHERE amends IS NULL AND ref IS NOT NULL;
CREATE INDEX posts_channel ON posts (channel, last_updated DESC, prefix, owner, type)
    WHERE amends IS NULL AND channel IS NOT NULL;

-- Tags of the latest version of each post; `id` is the original, `prefix` and
-- `last_updated` are its own.
CREATE TABLE post_tags (
    tag          INTEGER NOT NULL,
    last_updated INTEGER NOT NULL,
    prefix       INTEGER NOT NULL,
    id           INTEGER NOT NULL,
    PRIMARY KEY (tag, last_updated DESC, prefix, id)
) WITHOUT ROWID;

-- One row per AGGREGATE message; its members are in the body of the message.
CREATE TABLE aggregate_elements (
    id    INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    key   INTEGER NOT NULL,
    time  INTEGER NOT NULL
);
CREATE INDEX aggregate_elements_key ON aggregate_elements (owner, key, time);

-- `sum` is the hash of the content, for the state digest.
CREATE TABLE aggregates (
    owner         TEXT NOT NULL,
    key           TEXT NOT NULL,
    created       INTEGER NOT NULL,
    last_updated  INTEGER NOT NULL,
    first_hash    TEXT NOT NULL,
    last_revision TEXT NOT NULL,
    sum           TEXT NOT NULL,
    content       TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;
CREATE INDEX aggregates_updated ON aggregates (last_updated DESC, key, owner);

-- Who is named by whose `security` aggregate.
CREATE TABLE delegations (
    grantee TEXT NOT NULL,
    owner   TEXT NOT NULL,
    PRIMARY KEY (grantee, owner)
) WITHOUT ROWID;
CREATE INDEX delegations_owner ON delegations (owner);

CREATE TABLE files (
    hash TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    kind TEXT NOT NULL DEFAULT 'file'
) WITHOUT ROWID;

-- kind: message (a STORE), content (body of a non-inline message), grace (kept
-- until delete_by: uploaded and not referenced yet; or, with an item_hash, of a
-- STORE about to be removed), well_known (declared by the operator).
CREATE TABLE file_pins (
    id        INTEGER PRIMARY KEY,
    file_hash TEXT NOT NULL,
    kind      TEXT NOT NULL,
    item_hash TEXT,
    owner     TEXT,
    ref       TEXT,
    created   INTEGER NOT NULL,
    delete_by INTEGER,
    UNIQUE (item_hash, kind)
);
CREATE INDEX file_pins_file ON file_pins (file_hash);
CREATE INDEX file_pins_owner ON file_pins (owner, created) WHERE owner IS NOT NULL;
CREATE INDEX file_pins_ref ON file_pins (ref) WHERE ref IS NOT NULL;
CREATE INDEX file_pins_delete ON file_pins (delete_by) WHERE delete_by IS NOT NULL;

CREATE TABLE file_tags (
    tag          TEXT PRIMARY KEY,
    owner        TEXT NOT NULL,
    file_hash    TEXT NOT NULL,
    last_updated INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE machines (
    item_hash     TEXT PRIMARY KEY,
    type          TEXT NOT NULL,
    owner         TEXT NOT NULL,
    allow_amend   INTEGER NOT NULL,
    is_persistent INTEGER NOT NULL,
    triggers      TEXT,
    created       INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE machine_files (
    reference TEXT NOT NULL,
    item_hash TEXT NOT NULL REFERENCES machines (item_hash) ON DELETE CASCADE,
    PRIMARY KEY (reference, item_hash)
) WITHOUT ROWID;
CREATE INDEX machine_files_machine ON machine_files (item_hash);

-- `id` grows in the order of processing: who is served first.
CREATE TABLE costs (
    id        INTEGER PRIMARY KEY,
    item_hash TEXT NOT NULL,
    ordinal   INTEGER NOT NULL,
    owner     TEXT NOT NULL,
    payment   TEXT NOT NULL,
    type      TEXT NOT NULL,
    name      TEXT NOT NULL,
    ref       TEXT,
    hold      TEXT NOT NULL,
    stream    TEXT NOT NULL,
    credit    TEXT NOT NULL,
    size_mib  TEXT,
    UNIQUE (item_hash, ordinal)
);
CREATE INDEX costs_owner ON costs (owner, payment);

-- How nodes performed: kind 0 core, 1 compute. `post` is a message, `figures`
-- an array of numbers.
CREATE TABLE measurements (
    kind        INTEGER NOT NULL,
    node        INTEGER NOT NULL,
    measured_at INTEGER NOT NULL,
    post        INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    figures     TEXT NOT NULL,
    PRIMARY KEY (kind, node, measured_at, post, position)
) WITHOUT ROWID;
CREATE INDEX measurements_post ON measurements (post);
CREATE INDEX measurements_time ON measurements (measured_at);

-- `last_update`: when the value changed, by the clock of this node.
CREATE TABLE balances (
    address     TEXT NOT NULL,
    chain       TEXT NOT NULL,
    dapp        TEXT NOT NULL DEFAULT '',
    balance     TEXT NOT NULL,
    height      INTEGER NOT NULL,
    last_update INTEGER NOT NULL,
    PRIMARY KEY (address, chain, dapp)
) WITHOUT ROWID;
CREATE INDEX balances_updated ON balances (last_update, address);

-- What credit posts moved, as they state it or (kind 'shared') as transfers
-- found it in the lots of their sender. Amounts of lots follow from this
-- table and credit_transfers alone.
CREATE TABLE credit_history (
    credit_ref       TEXT NOT NULL,
    credit_index     INTEGER NOT NULL,
    kind             TEXT NOT NULL,
    address          TEXT NOT NULL,
    amount           INTEGER NOT NULL,
    time             INTEGER NOT NULL,
    expiration       INTEGER,
    price            TEXT,
    bonus_amount     INTEGER,
    tx_hash          TEXT,
    token            TEXT,
    chain            TEXT,
    provider         TEXT,
    origin           TEXT,
    origin_ref       TEXT,
    payment_method   TEXT,
    expense_count    INTEGER,
    expense_size_mib TEXT,
    last_update      INTEGER NOT NULL,
    PRIMARY KEY (credit_ref, credit_index)
) WITHOUT ROWID;
CREATE INDEX credit_history_address ON credit_history (address, time, credit_ref, credit_index, amount);
CREATE INDEX credit_history_updated ON credit_history (last_update, address);
CREATE INDEX credit_history_resource ON credit_history (coalesce(origin, origin_ref), amount)
    WHERE payment_method = 'credit_expense';

-- Transfers out of lots, as asked for.
CREATE TABLE credit_transfers (
    credit_ref TEXT NOT NULL,
    position   INTEGER NOT NULL,
    sender     TEXT NOT NULL,
    recipient  TEXT NOT NULL,
    amount     INTEGER NOT NULL,
    expiration INTEGER,
    time       INTEGER NOT NULL,
    PRIMARY KEY (credit_ref, position)
) WITHOUT ROWID;
CREATE INDEX credit_transfers_sender ON credit_transfers (sender, time);

CREATE TABLE credit_lots (
    address      TEXT NOT NULL,
    credit_ref   TEXT NOT NULL,
    credit_index INTEGER NOT NULL,
    amount       INTEGER NOT NULL,
    remaining    INTEGER NOT NULL,
    expiration   INTEGER,
    granted      INTEGER NOT NULL,
    PRIMARY KEY (address, credit_ref, credit_index)
) WITHOUT ROWID;
CREATE INDEX credit_lots_live ON credit_lots (address) WHERE remaining > 0;

-- Addresses whose lots must be made again from this time on; empty between
-- transactions.
CREATE TABLE credit_stale (
    address TEXT PRIMARY KEY,
    time    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE chain_txs (
    hash      TEXT PRIMARY KEY,
    chain     TEXT NOT NULL,
    height    INTEGER NOT NULL,
    time      INTEGER NOT NULL,
    publisher TEXT NOT NULL
) WITHOUT ROWID;

-- Of messages in force, and of those that wait.
CREATE TABLE confirmations (
    item_hash TEXT NOT NULL,
    tx_hash   TEXT NOT NULL REFERENCES chain_txs (hash),
    PRIMARY KEY (item_hash, tx_hash)
) WITHOUT ROWID;

-- Messages that are about to be removed (removed_at NULL), or were.
CREATE TABLE removed (
    item_hash    TEXT PRIMARY KEY,
    type         TEXT NOT NULL,
    chain        TEXT NOT NULL,
    sender       TEXT NOT NULL,
    signature    TEXT,
    item_type    TEXT NOT NULL,
    time         INTEGER NOT NULL,
    channel      TEXT,
    owner        TEXT NOT NULL,
    payment_type TEXT NOT NULL,
    size         INTEGER,
    removed_at   INTEGER
) WITHOUT ROWID;
CREATE INDEX removed_time ON removed (removed_at DESC, item_hash);

-- Background work of this node, and when it was last done.
CREATE TABLE jobs (
    name     TEXT PRIMARY KEY,
    last_run INTEGER NOT NULL
) WITHOUT ROWID;

-- Where other nodes say that they are (network.md section 3.2).
CREATE TABLE peers (
    peer_id   TEXT NOT NULL,
    peer_type TEXT NOT NULL,
    address   TEXT NOT NULL,
    source    TEXT NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (peer_id, peer_type)
) WITHOUT ROWID;
CREATE INDEX peers_seen ON peers (last_seen);
