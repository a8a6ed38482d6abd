package access_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// A row of claims has changed: who hears of it?
func ExampleAccess_Rows() {
	ctx := context.Background()
	db, err := pgxpool.New(ctx, "postgres://localhost/app")
	if err != nil {
		panic(err)
	}
	defer db.Close()
	a, err := access.New(ctx, access.Config{DB: db, Schema: &access.Schema{
		Features: map[string]*access.Feature{"claims": {Tables: map[string]*access.Table{"claims": {
			SQL: "claims",
			Firewall: []access.Clause{
				{Field: "organization_id", Op: access.OpEquals, Value: access.Operand{Ctx: access.CtxActiveOrgID}},
			},
		}}}},
	}})
	if err != nil {
		panic(err)
	}
	rule, err := a.Rows("claims", "", []access.Column{{Name: "id"}, {Name: "organization_id"}})
	if err != nil {
		panic(err)
	}
	ann := gate.Identity{UserID: "ann", OrgID: "acme"}
	fmt.Println(rule.Decide(ann, access.Row{{Text: "7"}, {Text: "acme"}}))   // visible
	fmt.Println(rule.Decide(ann, access.Row{{Text: "7"}, {Text: "others"}})) // hidden
	fmt.Println(rule.Decide(ann, access.Row{{Text: "7"}, {Unknown: true}}))  // unknown
}
