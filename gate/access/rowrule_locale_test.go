package access_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// localeDatabase returns a database of an ICU locale, with the table of claims.
func localeDatabase(t *testing.T, db *database, locale string) *database {
	t.Helper()
	name := "rows_" + locale
	_, err := db.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE '"+locale+"'", pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := db.Exec(context.Background(), "DROP DATABASE "+name, pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err)
	})
	config, err := pgxpool.ParseConfig(db.url)
	require.NoError(t, err)
	config.ConnConfig.Database = name
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	other := &database{Pool: pool, tb: t}
	other.exec(t, claimsTable)
	return other
}

// The tests share databases, since each takes a while to make.
func TestRowRuleInAnotherLocale(t *testing.T) {
	db := newDatabase(t, claimsTable)
	en, tr := localeDatabase(t, db, "en"), localeDatabase(t, db, "tr")
	t.Run("CaseIsFoldedAsFarAsItIsKnown", func(t *testing.T) { caseIsFolded(t, db, en, tr) })
	t.Run("OrdersOfAnotherLocaleAreNotOurs", func(t *testing.T) { ordersOfAnotherLocale(t, db, en) })
	t.Run("CollationsOfTheTableAreConsulted", func(t *testing.T) { collationsAreConsulted(t, en) })
}

// What lower() does to other letters than A to Z hangs on the locale, and in Turkish what it does to those.
func caseIsFolded(t *testing.T, db, en, tr *database) {
	list := []string{"plan", "Plan", "PLAN", "plane", "ISLE", "isle", "ısle", "É", "é", "e", "ẞ", "ß", "K", "k", "\u212a", "\u0130", "\u00e9t\u00e9", "Σ", "ς"}
	for name, c := range map[string]struct {
		db      *database
		unknown bool        // something is
		pairs   [][2]string // that are known, beside those of the same bytes
	}{
		"C":  {db, false, [][2]string{{"plan", "PLAN"}, {"isle", "ISLE"}, {"É", "é"}}},
		"en": {en, true, [][2]string{{"plan", "PLAN"}, {"isle", "ISLE"}, {"plan", "plane"}}},
		"tr": {tr, true, nil},
	} {
		c.db.exec(t, "TRUNCATE claims")
		for _, text := range list {
			_, err := c.db.Exec(t.Context(), "INSERT INTO claims (id, x) VALUES ($1, $2)", "id of "+text, text)
			require.NoError(t, err)
		}
		a := newAccess(t, c.db, oneTable(access.Table{SQL: "claims", Firewall: []access.Clause{equalsCtx("x", access.CtxUserID)}}))
		columns, rows := images(t, c.db, "claims", "id", "UTC")
		rule, err := a.Rows("chats", "", columns)
		require.NoError(t, err)
		var ids []gate.Identity
		for _, text := range list {
			ids = append(ids, gate.Identity{UserID: text})
		}
		want := decisions(t, a, access.ResourceRef{Feature: "chats"}, ids, rows)
		got := map[[2]string]access.Outcome{}
		some := false
		for n, id := range ids {
			for j, row := range rows {
				o := rule.Decide(id, row.row)
				if got[[2]string{id.UserID, row.key}] = o; o != access.Unknown {
					require.Equal(t, want[n][j], o, "%s: %q %q", name, id.UserID, row.key)
				}
				some = some || o == access.Unknown
			}
			require.Equal(t, access.Visible, got[[2]string{id.UserID, "id of " + id.UserID}], "%s: %q", name, id.UserID)
		}
		require.Equal(t, c.unknown, some, name)
		for _, p := range c.pairs {
			require.NotEqual(t, access.Unknown, got[[2]string{p[0], "id of " + p[1]}], "%s: %q", name, p)
		}
		c.db.exec(t, "TRUNCATE claims")
	}
}

// The order of texts is the database's own, unless it is that of bytes.
func ordersOfAnotherLocale(t *testing.T, db, other *database) {
	less := func(db *database, field string, v any) error {
		table := access.Table{SQL: "claims", Firewall: []access.Clause{organization(), literal(field, access.OpLessThan, v)}}
		_, err := newAccess(t, db, oneTable(table)).Rows("chats", "", claimColumns)
		return err
	}
	const at = "resources.chats.tables.chats.firewall.[1].lessThan"
	for _, field := range []string{"status", "org_padded", "x", "icu"} {
		if field != "icu" {
			require.NoError(t, less(db, field, "m"), field)
		}
		requireProblem(t, less(other, field, "m"), at, field)
	}
	none := oneTable(access.Table{SQL: "claims", Exception: true, Firewall: []access.Clause{literal("x", access.OpNotIn, []any{"É", "plan"})}})
	rule, err := newAccess(t, other, none).Rows("chats", "", []access.Column{{Name: "x"}})
	require.NoError(t, err)
	for text, want := range map[string]access.Outcome{"é": access.Unknown, "É": access.Hidden, "Plan": access.Hidden} {
		require.Equal(t, want, rule.Decide(ann, access.Row{value(text)}), text)
	}
	require.NoError(t, less(other, "score", 7))
	require.NoError(t, less(other, "m", "up"), "labels have an order of their own")
}

// A column's own collation counts before the database's.
func collationsAreConsulted(t *testing.T, other *database) {
	other.exec(t, `CREATE TABLE texts (id text PRIMARY KEY, c text COLLATE "C", d text, n name, b "char", x citext COLLATE "C", f text COLLATE folded)`)
	columns := []access.Column{{Name: "c"}, {Name: "d"}, {Name: "n"}, {Name: "b"}, {Name: "x"}, {Name: "f"}}
	for field, known := range map[string][2]bool{ // whether it is the same, and whether it is less
		"c": {true, true}, "d": {true, false}, "n": {true, true}, "b": {true, false}, "x": {true, false}, "f": {false, false},
	} {
		for i, op := range []access.Operator{access.OpNotEquals, access.OpLessThan} {
			a := newAccess(t, other, oneTable(access.Table{SQL: "texts", Firewall: []access.Clause{literal(field, op, "m")}, Exception: true}))
			_, err := a.Rows("chats", "", columns)
			if known[i] {
				require.NoError(t, err, "%s %s", field, op)
				continue
			}
			requireProblem(t, err, "resources.chats.tables.chats.firewall.[0]."+string(op), field)
		}
	}
}
