package identity_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
)

// A server believes JWTs that its secret signed, and exchanges them for tickets.
func Example() {
	secret := []byte("an example's secret is no secret")
	config := identity.Config{Secret: secret, JWT: identity.JWTConfig{Algorithms: []string{"HS256"}}}
	auth, err := identity.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	ctx := context.Background()
	if err := auth.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	ask := func(r *http.Request, tickets gate.TicketMode) gate.Identity {
		id, err := auth.Authenticate(ctx, &gate.Caller{HTTP: r, Origin: gate.OriginSameHost}, tickets)
		var refusal *gate.Refusal
		if errors.As(err, &refusal) {
			fmt.Println(refusal.Status, refusal.Code)
		}
		return id
	}

	token, err := identity.MintJWT(secret, config.JWT, gate.Identity{UserID: "ann", OrgID: "org_1"}, time.Minute, time.Now())
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest(http.MethodPost, "/broadcast/v1/ws-ticket", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token)
	ann := ask(r, gate.TicketsRefused)
	fmt.Println(ann.UserID, "by", ann.Method)

	ticket, _, err := auth.Issuer().Issue(ann, identity.IssueOptions{Rooms: []string{"main/notes"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	r = httptest.NewRequest(http.MethodGet, "/realtime/main/notes?ws_ticket="+ticket, http.NoBody)
	byTicket := ask(r, gate.TicketsOnly)
	fmt.Println(byTicket.UserID, "by", byTicket.Method, "for", byTicket.Scope)

	r = httptest.NewRequest(http.MethodGet, "/realtime/main/notes?ws_ticket="+token, http.NoBody)
	fmt.Println(ask(r, gate.TicketsOnly).Authenticated())
	// Output:
	// ann by jwt
	// ann by ticket for [main/notes]
	// 401 AUTH_INVALID
	// false
}
