package access

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Schema is what is declared of the application's tables: which there are, who sees which rows, and how they relate.
type Schema struct {
	Features      map[string]*Feature      // by the name under "resources"
	Relationships map[string]*Relationship // by the name under "relationships"
	RoleHierarchy []string                 // from least to most: "member+" is member and everything behind it here
}

// Feature groups the tables of one part of the application. One that declares none owns one table of its own name.
type Feature struct {
	Tables map[string]*Table
}

// Table is one resource: a table, its rows' firewall and the rules of access.
type Table struct {
	SQL       string   // its name, or schema.name. Always quoted, so it is written as the catalogue has it
	Firewall  []Clause // all hold for a row that the caller may know of
	Exception bool     // it has no scope on purpose
	Hide      bool     // a row out of scope is 404 NOT_FOUND instead of 403 FIREWALL_NOT_FOUND
	Read      Rule     // who, of those that pass the firewall, may read
	Write     Rule     // who, of those that may read, may write
}

// Operator compares a column with an operand. A NULL column satisfies OpIsNull alone: each other operator is false for
// it, OpNotEquals and OpNotIn too, since nothing is known of the value.
type Operator string

// The operators of conditions.
const (
	OpEquals             Operator = "equals"
	OpNotEquals          Operator = "notEquals"
	OpIn                 Operator = "in"    // the literal is a []any
	OpNotIn              Operator = "notIn" // the literal is a []any
	OpLessThan           Operator = "lessThan"
	OpGreaterThan        Operator = "greaterThan"
	OpLessThanOrEqual    Operator = "lessThanOrEqual"
	OpGreaterThanOrEqual Operator = "greaterThanOrEqual"
	OpIsNull             Operator = "isNull" // the literal is a bool: true wants NULL, false anything else
)

// The values of a caller that an operand may name.
const (
	CtxUserID       = "userId"
	CtxActiveOrgID  = "activeOrgId"
	CtxActiveTeamID = "activeTeamId"
	CtxUserRole     = "userRole"
)

// Operand is what a column is compared with: a literal, or a value of the caller.
type Operand struct {
	Ctx     string // one of the Ctx constants. Empty: Literal counts. A caller without that value never satisfies
	Literal any    // string, int, int64, uint64, float64, bool, or a []any of them
}

// Clause is one condition of a firewall. The zero Op with a Via is the relationship alone.
type Clause struct {
	Field  string
	Op     Operator
	Value  Operand
	OrNull bool   // a NULL column passes too, for a caller who has the ctx value (owner with mode optional)
	Via    string // the relationship that Field is reached by, in the place of Op and Value
	Scope  bool   // it narrows to the caller: organization, owner, team, a relationship or any ctx value
}

// Rule is a rule of access. The zero Rule lets everybody through who is authenticated.
type Rule struct {
	Roles  []string   // any of them: a role, "role+" of the hierarchy, or RolePublic. Empty: any authenticated caller
	Record *Condition // of the row. Nil: none
}

// RolePublic is the role that everybody has, even callers without an identity.
const RolePublic = "PUBLIC"

// Condition is a condition on a row: all its Tests hold, all of And, and one of Or. A nil Or asks for nothing; an empty
// one that is not nil is false.
type Condition struct {
	Tests []Test
	And   []*Condition
	Or    []*Condition
}

// Test compares one column.
type Test struct {
	Field string
	Op    Operator
	Value Operand
}

// Relationship says which rows a caller is related to, by a table between them:
// SELECT ResourceColumn FROM From WHERE SubjectColumn = Subject AND Where.
type Relationship struct {
	From           string // name, or schema.name
	SubjectColumn  string
	Subject        Operand // usually ctx.userId
	ResourceColumn string
	Where          []Test
}

// RoomRule is who may open the rooms of a party. At most one of Resource, Pattern, Equals, Webhook and Public is set;
// none means any authenticated caller.
type RoomRule struct {
	Resource *ResourceRef
	Pattern  *Pattern
	Equals   string // CtxUserID or CtxActiveOrgID: the room's id is that value
	Webhook  *Webhook
	Public   bool       // nobody is asked. A guard of a public room needs no authorizer, and Room refuses to make one
	Write    *WriteRule // nil: everybody admitted may write, as far as the resource lets them
}

// ResourceRef names a resource as a room's rule does.
type ResourceRef struct {
	Feature string
	Table   string // empty: the feature's only table
	Key     string // the unique column that room ids are values of. Empty: "id"
}

// Pattern dispatches by a regular expression (RE2) that room ids match as a whole.
type Pattern struct {
	Expr      string
	KindGroup int                    // number of the group that names the kind, from 1
	IDGroup   int                    // number of the group that has the row's key, from 1
	Resources map[string]ResourceRef // by kind
}

// Webhook asks an HTTP endpoint.
type Webhook struct {
	URL     string        // absolute http or https URL; redirects are not followed
	Secret  []byte        // of the signature, at least 32 bytes
	Timeout time.Duration // of one question. Zero means 3 s.
}

// WriteRule is who, of those admitted, may write. It takes nothing from what the resource asks for.
type WriteRule struct {
	Roles               []string // any of them, as in a Rule. Empty: everybody admitted
	WritersOnlyPresence bool     // presence frames of who may not write are dropped
}

// Problem is one mistake in a declaration, for people.
type Problem struct {
	Path    []string // into the declaration, such as {"resources","chats","tables","chats","firewall","[0]","field"}
	Message string   // what is wrong
	Fix     string   // what to do about it
}

// Querier is what of a connection or pool is used. It may be called from any goroutine.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}
