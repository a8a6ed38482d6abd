package access_test

import (
	"context"
	"fmt"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// A row of claims has changed: who hears of it?
func ExampleAccess_Rows() {
	var db access.Querier // a pool of the application's database
	if db == nil {
		return
	}
	a, err := access.New(context.Background(), access.Config{DB: db, Schema: &access.Schema{
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
