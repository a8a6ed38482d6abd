package access_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// Everybody has a room of their own, in which editors may write.
func Example() {
	ctx := context.Background()
	a, err := access.New(ctx, access.Config{Schema: &access.Schema{RoleHierarchy: []string{"member", "editor", "owner"}}})
	if err != nil {
		panic(err)
	}
	room, err := a.Room("NOTES", &access.RoomRule{Equals: access.CtxUserID, Write: &access.WriteRule{Roles: []string{"editor+"}}})
	if err != nil {
		panic(err)
	}
	ann := gate.Identity{UserID: "ann", OrgID: "acme", Roles: []string{"owner"}}
	for _, id := range []string{"ann", "bob"} {
		d, err := room.Authorize(ctx, ann, &gate.Request{Party: "notes", Room: id})
		var refusal *gate.Refusal
		if errors.As(err, &refusal) {
			fmt.Println(id, refusal.Status, refusal.Code)
			continue
		}
		fmt.Println(id, "write:", d.Write)
	}
	// Output:
	// ann write: true
	// bob 403 ACCESS_DENIED
}

// A declaration is checked as a whole: each problem says where it is, and what to do.
func ExampleCheck() {
	problems := access.Check(&access.Schema{Features: map[string]*access.Feature{
		"chats": {Tables: map[string]*access.Table{"chats": {SQL: "chats", Read: access.Rule{Roles: []string{"member+"}}}}},
	}}, nil)
	for _, p := range problems {
		fmt.Println(p.Path[len(p.Path)-1], "-", p.Message)
	}
	// Output:
	// firewall - the resource has no scope: every caller would see every row
	// [0] - no hierarchy knows the role "member"
}
