-- +goose Up

-- Names of parties and rooms, keys of values and reasons are any bytes, so they are bytea: compared byte by byte, whatever
-- the database's encoding and collation are. convert_from(room, 'UTF8') shows them.

CREATE TABLE yserverd.store (
	singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	uuid       uuid NOT NULL DEFAULT gen_random_uuid(),
	created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO yserverd.store DEFAULT VALUES;

-- The fence: whoever writes a document locks its row here first. Nothing that an append changes is in an index, and pages
-- have room, so that an append leaves the indexes alone.
CREATE TABLE yserverd.documents (
	id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	party             bytea NOT NULL,
	room              bytea NOT NULL,
	seq               bigint NOT NULL,
	epoch             bigint NOT NULL DEFAULT 0,
	first_seq         bigint NOT NULL DEFAULT 0,
	log_bytes         bigint NOT NULL DEFAULT 0,
	snapshot_seq      bigint NOT NULL DEFAULT 0,
	snapshot_bytes    bigint NOT NULL DEFAULT 0,
	snapshot_sum      bytea,
	snapshot_object   text COLLATE "C",
	created_at        timestamptz NOT NULL DEFAULT now(),
	updated_at        timestamptz NOT NULL DEFAULT now(),
	deleted_at        timestamptz,
	quarantined_at    timestamptz,
	quarantine_row    bigint NOT NULL DEFAULT 0,
	quarantine_reason bytea,
	UNIQUE (party, room),
	CHECK (first_seq <= seq AND snapshot_seq <= seq)
) WITH (fillfactor = 80);
CREATE INDEX documents_deleted ON yserverd.documents (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX documents_object ON yserverd.documents (snapshot_object) WHERE snapshot_object IS NOT NULL;

-- No foreign keys: the row of the document is locked by whoever writes here, and one look more for each row would cost more
-- than the row. Updates and snapshots do not become smaller by compressing them on the way of every keystroke and every
-- join (EXTERNAL).
CREATE TABLE yserverd.updates (
	document_id bigint NOT NULL,
	seq         bigint NOT NULL,
	data        bytea NOT NULL,
	sum         integer NOT NULL,
	created_at  timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (document_id, seq)
);
ALTER TABLE yserverd.updates ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE yserverd.snapshots (
	document_id bigint PRIMARY KEY,
	data        bytea NOT NULL
);
ALTER TABLE yserverd.snapshots ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE yserverd.dead_clients (
	document_id bigint PRIMARY KEY,
	clients     bigint[] NOT NULL
);

CREATE TABLE yserverd.versions (
	document_id bigint NOT NULL,
	id          text COLLATE "C" NOT NULL,
	name        bytea NOT NULL,
	author      bytea NOT NULL,
	automatic   boolean NOT NULL,
	created_at  timestamptz NOT NULL,
	epoch       bigint NOT NULL,
	seq         bigint NOT NULL,
	bytes       bigint NOT NULL,
	sum         bytea NOT NULL,
	data        bytea,
	object      text COLLATE "C",
	PRIMARY KEY (document_id, id),
	CHECK ((data IS NULL) <> (object IS NULL))
);
CREATE INDEX versions_newest ON yserverd.versions (document_id, created_at DESC, id DESC);
CREATE INDEX versions_object ON yserverd.versions (object) WHERE object IS NOT NULL;

-- Objects that no row names: any more, or yet (planned: a call is about to name it).
CREATE TABLE yserverd.objects (
	name    text COLLATE "C" PRIMARY KEY,
	planned boolean NOT NULL,
	since   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX objects_since ON yserverd.objects (planned, since);

CREATE TABLE yserverd.rooms (
	id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	party             bytea NOT NULL,
	room              bytea NOT NULL,
	alarm             timestamptz,
	delivery          timestamptz,
	quarantined_at    timestamptz,
	quarantine_reason bytea,
	UNIQUE (party, room)
);
CREATE INDEX rooms_alarm ON yserverd.rooms (alarm, party, room) WHERE alarm IS NOT NULL AND quarantined_at IS NULL;
CREATE INDEX rooms_delivery ON yserverd.rooms (delivery, party, room) WHERE delivery IS NOT NULL AND quarantined_at IS NULL;

CREATE TABLE yserverd.room_values (
	room_id bigint NOT NULL,
	space   smallint NOT NULL,
	key     bytea NOT NULL,
	value   bytea NOT NULL,
	sum     integer NOT NULL,
	PRIMARY KEY (room_id, space, key)
);

-- append stores the updates of many documents, each of which is named once. The rows of the documents are locked in the
-- order of their numbers, new ones are created in the order of their names, so that two calls never wait for each other in
-- turn; who had to wait sees the row as it is then. Only documents whose row agrees get their updates; the others get a
-- verdict: 1 in quarantine, 2 deleted, 3 another epoch, 4 another sequence number, 5 created by somebody else since this
-- statement began, which is to be asked again. Planning takes longer than appending to one document does, and always comes
-- to the same, so it is done once in a session.
-- +goose StatementBegin
CREATE FUNCTION yserverd.append(
	parties bytea[], rooms bytea[], epochs bigint[], afters bigint[], counts bigint[], sizes bigint[],
	places bigint[], numbers bigint[], datas bytea[], sums integer[])
RETURNS TABLE (n bigint, seq bigint, quarantine_row bigint, quarantine_reason bytea, verdict integer)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH asked AS MATERIALIZED (
		SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
		WITH ORDINALITY AS a(party, room, epoch, after, rows, bytes, n)
	), known AS MATERIALIZED (
		SELECT a.n, a.rows, a.bytes, d.id, d.seq, d.quarantine_row, d.quarantine_reason, CASE
			WHEN d.quarantined_at IS NOT NULL THEN 1
			WHEN d.deleted_at IS NOT NULL THEN 2
			WHEN d.epoch <> a.epoch THEN 3
			WHEN d.seq <> a.after THEN 4
			ELSE 0 END AS verdict
		FROM asked a JOIN yserverd.documents d ON d.party = a.party AND d.room = a.room
		ORDER BY d.id
		FOR NO KEY UPDATE OF d
	), created AS (
		INSERT INTO yserverd.documents (party, room, seq, log_bytes)
		SELECT a.party, a.room, a.rows, a.bytes FROM asked a
		WHERE a.epoch = 0 AND a.after = 0 AND a.rows > 0 AND a.n NOT IN (SELECT n FROM known)
		ORDER BY a.party, a.room
		ON CONFLICT (party, room) DO NOTHING
		RETURNING id, party, room
	), moved AS (
		UPDATE yserverd.documents d SET seq = k.seq + k.rows, log_bytes = d.log_bytes + k.bytes, updated_at = now()
		FROM known k WHERE d.id = k.id AND k.verdict = 0 AND k.rows > 0
		RETURNING k.n, d.id, k.seq AS after
	), open AS MATERIALIZED (
		SELECT n, id, after FROM moved
		UNION ALL
		SELECT a.n, c.id, 0 FROM created c JOIN asked a USING (party, room)
	), stored AS (
		INSERT INTO yserverd.updates (document_id, seq, data, sum)
		SELECT o.id, o.after + u.i, u.data, u.sum
		FROM unnest($7::bigint[], $8::bigint[], $9::bytea[], $10::integer[]) AS u(n, i, data, sum) JOIN open o ON o.n = u.n
	)
	SELECT a.n, coalesce(k.seq, 0), coalesce(k.quarantine_row, 0), k.quarantine_reason, CASE
		WHEN k.id IS NOT NULL THEN k.verdict
		WHEN a.epoch <> 0 THEN 3
		WHEN a.after <> 0 THEN 4
		WHEN a.rows = 0 OR o.id IS NOT NULL THEN 0
		ELSE 5 END
	FROM asked a LEFT JOIN known k ON k.n = a.n LEFT JOIN open o ON o.n = a.n;
END
$$;
-- +goose StatementEnd
