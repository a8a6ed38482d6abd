package access_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// keysTable has one row, by every type that a key may have.
const keysTable = `
CREATE EXTENSION IF NOT EXISTS citext;
CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE mood AS ENUM ('calm', 'up; DROP TABLE keys');
CREATE DOMAIN ident AS uuid CHECK (VALUE <> '00000000-0000-0000-0000-000000000000');
CREATE DOMAIN ident2 AS ident;
CREATE TABLE keys (org text, t text UNIQUE, v varchar(10) UNIQUE, c char(8) UNIQUE, u uuid UNIQUE, s smallint UNIQUE, i int UNIQUE,
	b bigint UNIQUE, n numeric(20,2) UNIQUE, m mood UNIQUE, x citext UNIQUE, d ident2 UNIQUE, o name UNIQUE, f text COLLATE folded UNIQUE);
INSERT INTO keys VALUES ('org1', 'Plan', 'Plan', 'Plan', '6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f1', 7, 7, 7, 7, 'calm', 'Plan',
	'6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f1', 'Plan', 'Plan');
INSERT INTO keys (org, t, i) VALUES ('org1', E'O''Hara"; --', -3), ('org1', 'a/b', NULL), ('org1', 'é', NULL), ('org1', '💥', NULL), ('org1', '', NULL),
	('org1', '$1', NULL), ('org1', E'back\\slash', NULL);
`

func TestIDNamesOneRowByItsExactText(t *testing.T) {
	db := newDatabase(t, keysTable)
	const uuid = "6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f1"
	numbers := []string{
		"07", " 7", "7 ", "+7", "7.0", "7e0", "0x7", "seven", "", "-7", "8", "٧", "７", "7\x00", "7;", "7'", "NaN",
		"9223372036854775808", "-9223372036854775809", strings.Repeat("9", 1000), strings.Repeat("0", 1000) + "7", "7_0", "1/0",
	}
	uuids := []string{
		strings.ToUpper(uuid), "{" + uuid + "}", strings.ReplaceAll(uuid, "-", ""), " " + uuid, uuid + " ", uuid + "\x00", "urn:uuid:" + uuid,
		"6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f2", "6f1c2c5e94b5-4a3c-b1cf-c8a1a4d6a0f1-", "6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0fg", "", "x", strings.Repeat("-", 36),
	}
	texts := []string{"plan", "PLAN", "Plan ", " Plan", "Plаn" /* a Cyrillic letter */, "Pla", "Plan\x00", "Plan'", `Plan"`, "Plan;--", "' OR 1=1 --", "$1", "%", "Plan\xff", ""}
	cases := []struct {
		column string
		is     []string
		not    []string
	}{
		{"t", []string{"Plan", `O'Hara"; --`, "a/b", "é", "💥", "$1", `back\slash`}, append([]string{"e\u0301", "a%2Fb", "O'Hara", strings.Repeat("x", 1<<20)}, without(texts, "$1")...)},
		{"v", []string{"Plan"}, append(texts, "Plan"+strings.Repeat("x", 20))},
		{"c", []string{"Plan"}, append(texts, "Plan    ")},
		{"x", []string{"Plan"}, texts},
		{"f", []string{"Plan"}, texts},
		{"o", []string{"Plan"}, append(texts, "Plan"+strings.Repeat("x", 80))},
		{"m", []string{"calm"}, append(texts, "up", "CALM", "calm ", "no label")},
		{"u", []string{uuid}, uuids},
		{"d", []string{uuid}, append(uuids, "00000000-0000-0000-0000-000000000000")},
		{"s", []string{"7"}, append(numbers, "32768", "-32769")},
		{"i", []string{"7", "-3"}, append(numbers, "2147483648", "-03", "−3")},
		{"b", []string{"7"}, numbers},
		{"n", []string{"7.00"}, append(without(numbers, "-7"), "7", "7.000", "07.00", "+7.00", "7.", ".7", "1e400", "Infinity", "7.00 ")},
	}
	a := newAccess(t, db, oneTable(access.Table{SQL: "keys", Firewall: []access.Clause{equalsCtx("org", access.CtxActiveOrgID)}}))
	for _, c := range cases {
		t.Run(c.column, func(t *testing.T) {
			room := newRoom(t, a, &access.RoomRule{Resource: &access.ResourceRef{Feature: "chats", Table: "chats", Key: c.column}})
			for _, id := range c.is {
				require.Equal(t, writes, ask(t, room, ann, id), "%q", id)
				require.Equal(t, firewall, ask(t, room, alien, id), "%q", id)
			}
			for _, id := range c.not {
				require.Equal(t, firewall, ask(t, room, ann, id), "%.80q", id)
			}
		})
	}
	require.EqualValues(t, 8, count(t, db, "keys"))

	before := db.asked.Load()
	for column, id := range map[string]string{"i": "seven", "u": "x", "t": strings.Repeat("x", 1<<20)} {
		room := newRoom(t, a, &access.RoomRule{Resource: &access.ResourceRef{Feature: "chats", Key: column}})
		require.Equal(t, firewall, ask(t, room, ann, id))
	}
	require.Equal(t, before, db.asked.Load(), "what is no key is in no row")
}

func without(list []string, s string) (rest []string) {
	for _, other := range list {
		if other != s {
			rest = append(rest, other)
		}
	}
	return rest
}

func count(t *testing.T, db *database, table string) (n int64) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

// A caller's value of a column's type, in all the types.
func TestCallersAreComparedByTheTypeOfTheColumn(t *testing.T) {
	db := newDatabase(t, keysTable+`ALTER TABLE keys ADD COLUMN id int DEFAULT 1, ADD COLUMN k "char" DEFAULT 'P'; DELETE FROM keys WHERE t <> 'Plan'; CREATE UNIQUE INDEX ON keys (id);`)
	const uuid = "6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f1"
	const padded = "Plan "
	for column, users := range map[string]map[string]bool{
		"t": {"Plan": true, "plan": false, padded: false, "Plan\x00": false, "Plan\xff": false, strings.Repeat("x", 2000): false},
		"v": {"Plan": true, "plan": false},
		"c": {"Plan": true, padded: false},
		"o": {"Plan": true, "plan": false},
		"k": {"P": true, "Plan": false}, // a cast would cut
		"m": {"calm": true, "no label": false},
		"x": {"Plan": true, "plan": true, "plane": false}, // that is what the type is for
		"f": {"Plan": true, "plan": true, "plane": false},
		"u": {uuid: true, strings.ToUpper(uuid): true, "x": false},
		"d": {uuid: true, "00000000-0000-0000-0000-000000000000": false},
		"s": {"7": true, "07": true, "8": false, "x": false, "70000": false},
		"i": {"7": true, "x": false, "7; DROP TABLE keys": false},
		"b": {"7": true, "9223372036854775808": false},
		"n": {"7": true, "7.00": true, "7.01": false, "1e400": false},
	} {
		a := newAccess(t, db, oneTable(access.Table{SQL: "keys", Firewall: []access.Clause{equalsCtx(column, access.CtxUserID)}}))
		not := newAccess(t, db, oneTable(access.Table{SQL: "keys", Exception: true, Firewall: []access.Clause{
			{Field: column, Op: access.OpNotEquals, Value: access.Operand{Ctx: access.CtxUserID}},
		}}))
		for user, same := range users {
			id := gate.Identity{UserID: user}
			want := firewall
			if same {
				want = writes
			}
			require.Equal(t, want, ask(t, newRoom(t, a, chats()), id, "1"), "%s %q", column, user)
			if same {
				require.Equal(t, firewall, ask(t, newRoom(t, not, chats()), id, "1"), "not %s %q", column, user)
			}
		}
	}
}

// Who has a value that the column cannot hold is not the owner, but one who has a value.
func TestRowsWithoutOwnerAreForCallersOfAnyKind(t *testing.T) {
	db := newDatabase(t, `CREATE TABLE chats (id int PRIMARY KEY, owner_id int); INSERT INTO chats VALUES (1, NULL), (2, 7)`)
	room := newRoom(t, newAccess(t, db, oneTable(access.Table{Firewall: []access.Clause{ownerOrNone()}})), chats())
	require.Equal(t, writes, ask(t, room, ann, "1"))
	require.Equal(t, firewall, ask(t, room, ann, "2"))
	require.Equal(t, writes, ask(t, room, gate.Identity{UserID: "7"}, "2"))
	required := newRoom(t, newAccess(t, db, oneTable(access.Table{Firewall: []access.Clause{owner()}})), chats())
	before := db.asked.Load()
	require.Equal(t, firewall, ask(t, required, ann, "1"))
	require.Equal(t, before, db.asked.Load(), "there is nothing to ask")
}

func TestKeyOfTwoRowsDecidesNothing(t *testing.T) {
	db := newDatabase(t, `CREATE TABLE chats (id text UNIQUE, org text); INSERT INTO chats VALUES ('a', 'org1')`)
	room := newRoom(t, newAccess(t, db, oneTable(access.Table{Firewall: []access.Clause{equalsCtx("org", access.CtxActiveOrgID)}})), chats())
	require.Equal(t, writes, ask(t, room, ann, "a"))
	db.exec(t, `ALTER TABLE chats DROP CONSTRAINT chats_id_key; INSERT INTO chats VALUES ('a', 'org1')`)
	_, err := room.Authorize(t.Context(), ann, &gate.Request{Room: "a"})
	require.Equal(t, unavailable, outcome(t, gate.Decision{}, err))
	_, err = room.(gate.BatchAuthorizer).AuthorizeAll(t.Context(), []gate.Ask{{Identity: ann, Room: "a"}})
	require.Equal(t, unavailable, outcome(t, gate.Decision{}, err))
}

func TestRowIsTheOneWithTheExactText(t *testing.T) {
	// One index takes the keys for different, while the column's own comparison takes them for the same.
	db := newDatabase(t, `CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		CREATE TABLE chats (id text COLLATE folded, org text); CREATE UNIQUE INDEX ON chats (id COLLATE "C");
		INSERT INTO chats VALUES ('plan', 'org1'), ('Plan', 'org1'), ('PLAN', 'org2')`)
	room := newRoom(t, newAccess(t, db, oneTable(access.Table{Firewall: []access.Clause{equalsCtx("org", access.CtxActiveOrgID)}})), chats())
	require.Equal(t, writes, ask(t, room, ann, "plan"))
	require.Equal(t, writes, ask(t, room, ann, "Plan"))
	require.Equal(t, firewall, ask(t, room, ann, "PLAN"))
	require.Equal(t, writes, ask(t, room, alien, "PLAN"))
	require.Equal(t, firewall, ask(t, room, ann, "pLAN"))
}
