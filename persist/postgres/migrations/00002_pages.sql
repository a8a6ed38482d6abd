-- +goose Up

-- A row of updates may be a page: many small updates that follow each other, under the number of the last one. Each keeps
-- its own sum: data is, for each, its length and sum in four bytes and its bytes, and the page's own sum says nothing. A
-- row of its own costs a reader more than a small update does, so long logs become pages while they grow.
ALTER TABLE yserverd.updates ADD COLUMN rows integer NOT NULL DEFAULT 1 CHECK (rows > 0);

-- pack makes pages of the updates of a document behind one number and up to another, which is the end of a page: a page is
-- size numbers, or what is left of them by a snapshot. The caller has the row of the document locked. What cannot be read,
-- is damaged by a missing row, or is too large for it to be worth while stays as it is.
-- A plain index scan marks in the index what has been packed before, so that readers need not look at it again until it is
-- vacuumed; a bitmap would not.
-- +goose StatementBegin
CREATE FUNCTION yserverd.pack(document bigint, after bigint, up_to bigint, size integer) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_bitmapscan = off AS $$
BEGIN
	WITH pages AS MATERIALIZED (
		SELECT min(u.seq) AS low, max(u.seq) AS high FROM yserverd.updates u
		WHERE u.document_id = $1 AND u.seq > $2 AND u.seq <= $3 AND u.rows = 1
		GROUP BY (u.seq - 1) / $4
		HAVING count(*) > 1 AND max(u.seq) - min(u.seq) + 1 = count(*) AND max(octet_length(u.data)) <= 1024
	), single AS (
		DELETE FROM yserverd.updates u USING pages p WHERE u.document_id = $1 AND u.seq BETWEEN p.low AND p.high
		RETURNING p.high, u.seq, u.data, u.sum, u.created_at
	)
	INSERT INTO yserverd.updates (document_id, seq, data, sum, rows, created_at)
	SELECT $1, s.high, string_agg(int4send(octet_length(s.data)) || int4send(s.sum) || s.data, '' ORDER BY s.seq), 0,
		count(*), max(s.created_at)
	FROM single s GROUP BY s.high;
EXCEPTION WHEN data_corrupted OR index_corrupted THEN
	RETURN; -- whoever reads it is told
END
$$;
-- +goose StatementEnd

-- unpack makes rows again of the page that holds both the update of that number and the next, so that a snapshot may end
-- there. The caller has the row of the document locked. A page that does not decode stays as it is.
-- +goose StatementBegin
CREATE FUNCTION yserverd.unpack(document bigint, at bigint) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	page record;
	size integer;
	pos  integer := 1;
BEGIN
	SELECT u.seq, u.data, u.rows, u.created_at INTO page FROM yserverd.updates u
	WHERE u.document_id = $1 AND u.seq > $2 ORDER BY u.seq LIMIT 1;
	IF NOT FOUND OR page.rows = 1 OR page.seq - page.rows >= $2 OR page.rows > octet_length(page.data) / 8 THEN
		RETURN;
	END IF;
	DELETE FROM yserverd.updates u WHERE u.document_id = $1 AND u.seq = page.seq;
	FOR n IN 1..page.rows LOOP
		size := ('x' || encode(substr(page.data, pos, 4), 'hex'))::bit(32)::integer;
		INSERT INTO yserverd.updates (document_id, seq, data, sum, created_at) VALUES ($1, page.seq - page.rows + n,
			substr(page.data, pos + 8, size), ('x' || encode(substr(page.data, pos + 4, 4), 'hex'))::bit(32)::integer,
			page.created_at);
		pos := pos + 8 + size;
	END LOOP;
	IF pos <> octet_length(page.data) + 1 THEN
		RAISE data_corrupted;
	END IF;
EXCEPTION WHEN data_corrupted OR index_corrupted OR data_exception OR unique_violation THEN
	RETURN; -- whoever reads it is told
END
$$;
-- +goose StatementEnd

-- append is as before, and then makes pages of the documents named by their places in $11, which have reached the end of
-- one, if so many updates are behind their snapshot that they may. It looks back over a bounded part of the log, which has
-- every row that is not in a page unless one call brought more. Documents that were not there before are not certainly
-- locked, and wait for their next page.
DROP FUNCTION yserverd.append(bytea[], bytea[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bytea[], integer[]);
-- +goose StatementBegin
CREATE FUNCTION yserverd.append(
	parties bytea[], rooms bytea[], epochs bigint[], afters bigint[], counts bigint[], sizes bigint[],
	places bigint[], numbers bigint[], datas bytea[], sums integer[], ends bigint[], page integer, long_log bigint)
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
	IF cardinality($11) > 0 THEN
		PERFORM yserverd.pack(d.id, greatest(d.snapshot_seq, d.seq - 128 * $12), d.seq / $12 * $12, $12)
		FROM unnest($11) AS e(place) JOIN yserverd.documents d ON d.party = $1[e.place] AND d.room = $2[e.place]
		WHERE $4[e.place] > 0 AND d.seq = $4[e.place] + $5[e.place] AND d.seq - d.snapshot_seq >= $13
			AND d.deleted_at IS NULL AND d.quarantined_at IS NULL;
	END IF;
END
$$;
-- +goose StatementEnd
