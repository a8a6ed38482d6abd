package identity

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/gate"
)

// What the proof of a key starts with: where it is from.
const (
	staticProof = "static:" // and the key's place in the configuration
	tableProof  = "row:"    // and the row's id
)

// staticKeys finds keys of the configuration.
type staticKeys []StaticKey

// find looks at every key, wherever the right one is.
func (k staticKeys) find(digest [sha256.Size]byte) (gate.Identity, bool) {
	at := -1
	for i := range k {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(k[i].SHA256[:], digest[:]), i, at)
	}
	if at < 0 {
		return gate.Identity{}, false
	}
	key := k[at]
	return gate.Identity{
		UserID: key.UserID, Name: key.Name, OrgID: key.OrgID, Roles: slices.Clone(key.Roles),
		Method: gate.MethodAPIKey, Proof: staticProof + strconv.Itoa(at),
	}, true
}

// tableKeys finds better-auth's API keys in the database.
type tableKeys struct {
	backend        *backend
	users          bool // there is a table of them
	pinned         string
	byKey, byProof string
	limits         *keyLimits
}

// newTableKeys writes the queries. One finds the key with its user and the user's roles in the key's organisation.
func newTableKeys(b *backend, t tables, pinned string, limits *keyLimits) *tableKeys {
	k := &tableKeys{backend: b, users: t.user.there, pinned: pinned, limits: limits}
	owner := keyOwner(t.apikey)
	query := "SELECT " + t.apikey.text("k", "id") + ", " + t.apikey.text("k", "key") + ", " + owner.sql + "::text, " + t.apikey.text("k", "enabled") + ", " +
		t.apikey.seconds("k", "expiresAt") + ", " + t.apikey.number("k", "remaining") + ", " + t.apikey.text("k", "rateLimitEnabled") + ", " +
		t.apikey.number("k", "rateLimitTimeWindow") + ", " + t.apikey.number("k", "rateLimitMax") + ", " + t.apikey.text("k", "metadata") + ", " +
		t.user.personColumns() + ", m.orgs, m.roles FROM " + t.apikey.sql() + " k"
	if k.users {
		query += " LEFT JOIN " + t.user.sql() + " u ON " + equal(t.user.operand("u", "id"), owner)
	}
	query += " CROSS JOIN LATERAL (" + k.memberships(t, owner) + ") m"
	k.byKey = query + " WHERE " + t.apikey.ref("k", "key") + " = $1::text AND $2::text IS NOT NULL LIMIT 2"
	k.byProof = query + " WHERE " + t.apikey.ref("k", "id") + " = ANY($1::text[]::" + t.apikey.column("id").sqlType + "[]) AND $2::text IS NOT NULL"
	return k
}

// keyOwner returns who has the key: today's column, and that of older versions.
func keyOwner(keys *table) operand {
	switch {
	case !keys.has("userId"):
		return keys.operand("k", "referenceId")
	case !keys.has("referenceId"):
		return keys.operand("k", "userId")
	}
	return operand{"coalesce(" + keys.text("k", "referenceId") + ", " + keys.text("k", "userId") + ")", "text"}
}

// memberships returns the organisations that the key may mean, and the roles there. The metadata is text that only the
// server may parse, since in a query what is no JSON would be an error: here it narrows the organisations down to those
// whose ids it has somewhere.
func (k *tableKeys) memberships(t tables, owner operand) string {
	if !t.member.there {
		return "SELECT NULL::text[] AS orgs, NULL::text[] AS roles"
	}
	org := t.member.text("m", "organizationId")
	where := "strpos(" + t.apikey.text("k", "metadata") + ", " + org + ") > 0"
	if k.pinned != "" {
		where = org + " = $2::text"
	}
	return "SELECT array_agg(" + org + ") AS orgs, array_agg(coalesce(" + t.member.text("m", "role") + ", '')) AS roles FROM " + t.member.sql() + " m WHERE " +
		equal(t.member.operand("m", "userId"), owner) + " AND " + where
}

// keyRow is a key with its user and the memberships that it may mean.
type keyRow struct {
	id, key         string
	user, enabled   *string
	expires         *float64
	remaining       *float64
	limited         *string
	window, maximum *float64
	metadata        *string
	person          person
	orgs, roles     []string
}

// scan reads a row.
func (r *keyRow) scan(rows pgx.Rows) error {
	return rows.Scan(append(append([]any{
		&r.id, &r.key, &r.user, &r.enabled, &r.expires, &r.remaining, &r.limited, &r.window, &r.maximum, &r.metadata,
	}, r.person.dest()...), &r.orgs, &r.roles)...)
}

// verify returns whose key has the digest, and counts its use. Its error is a *gate.Refusal.
func (k *tableKeys) verify(ctx context.Context, digest [sha256.Size]byte, now time.Time) (gate.Identity, error) {
	stored := base64.RawURLEncoding.EncodeToString(digest[:])
	var found []keyRow
	err := k.backend.query(ctx, queryTimeout, k.byKey, func(rows pgx.Rows) error {
		var r keyRow
		if err := r.scan(rows); err != nil {
			return err
		}
		found = append(found, r)
		return nil
	}, stored, k.pinned)
	if err != nil {
		return gate.Identity{}, refusalOf(err)
	}
	if len(found) != 1 || !sameText(found[0].key, stored) {
		return gate.Identity{}, gate.RefuseInvalid()
	}
	r := &found[0]
	id, err := k.identity(r, now)
	if err != nil {
		return id, err
	}
	if r.remaining != nil && *r.remaining <= 0 {
		return gate.Identity{}, gate.RefuseRateLimited(0)
	}
	if retry, ok := k.allow(r, now); !ok {
		return gate.Identity{}, gate.RefuseRateLimited(retry)
	}
	return id, nil
}

// maxWindow is the longest window of a key's rate limit, in milliseconds: three years.
const maxWindow = 1e11

// allow counts the use of a key whose row asks for it.
func (k *tableKeys) allow(r *keyRow, now time.Time) (retry time.Duration, ok bool) {
	if isFalse(r.limited) || r.window == nil || r.maximum == nil {
		return 0, true
	}
	return k.limits.allow(r.id, *r.maximum, time.Duration(min(*r.window, maxWindow))*time.Millisecond, now)
}

// identity returns who a key is for.
func (k *tableKeys) identity(r *keyRow, now time.Time) (gate.Identity, error) {
	user := text(r.user)
	switch {
	case isFalse(r.enabled) || user == "" || !isID(user) || k.users && r.person.refused(now):
		return gate.Identity{}, gate.RefuseInvalid()
	case r.expires != nil && passed(r.expires, now):
		return gate.Identity{}, gate.RefuseExpired()
	}
	id := gate.Identity{UserID: user, Method: gate.MethodAPIKey, Proof: tableProof + r.id, ExpiresAt: timeOf(r.expires)}
	r.person.describe(&id)
	org := k.pinned
	if org == "" {
		org = metadataOrg(text(r.metadata))
	}
	member := false
	for i := range r.orgs {
		if org != "" && r.orgs[i] == org {
			member, id.Roles = true, splitRoles(append(id.Roles, r.roles[i])...)
		}
	}
	if member || k.pinned != "" {
		id.OrgID = org
	}
	return id, nil
}

// recheck looks for keys by their ids. What is not in the result is gone. It counts no use.
func (k *tableKeys) recheck(ctx context.Context, proofs []string, now time.Time) (map[string]gate.Checked, error) {
	ids := make([]string, len(proofs))
	for i, p := range proofs {
		ids[i] = strings.TrimPrefix(p, tableProof)
	}
	checked := make(map[string]gate.Checked, len(proofs))
	err := k.backend.query(ctx, queryTimeout+time.Duration(len(proofs))*perProof, k.byProof, func(rows pgx.Rows) error {
		var r keyRow
		if err := r.scan(rows); err != nil {
			return err
		}
		id, err := k.identity(&r, now)
		checked[tableProof+r.id] = checkedOf(id, err)
		return nil
	}, ids, k.pinned)
	return checked, err
}

// maxMetadata is the longest metadata that is read, in bytes.
const maxMetadata = 64 << 10

// metadataOrg returns metadata.organizationId of a key. better-auth keeps the metadata as JSON in text, and some of its
// versions as JSON in JSON. Whatever else it is has no organisation.
func metadataOrg(metadata string) string {
	if len(metadata) > maxMetadata {
		return ""
	}
	var again string
	if strings.HasPrefix(strings.TrimSpace(metadata), `"`) && json.Unmarshal([]byte(metadata), &again) == nil {
		metadata = again
	}
	var object map[string]json.RawMessage // by exact names: struct fields take any case
	var org string
	if json.Unmarshal([]byte(metadata), &object) != nil || json.Unmarshal(object["organizationId"], &org) != nil || !isID(org) {
		return ""
	}
	return org
}
