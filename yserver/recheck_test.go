package yserver_test

import (
	"context"
	"encoding/hex"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/yserver"
)

// A message room ends at the time of the credential. So does every room whose
// access nobody can prolong.
func TestExpiryCloses(t *testing.T) {
	d := newDirectory()
	d.knows("ann")
	d.lasts["ann"] = briefly
	d.knows("bob")
	k := start(t, messages(yserver.Message{}), guarded(t, d))
	bob := k.visit("b", "token=bob")
	k.visit("a", "token=ann").expectEnd(4401, "token expired")
	require.Empty(t, d.batches(), "a token that is over needs no backend")
	bob.sendText("still there")
	bob.noText()
	require.EqualValues(t, 1, k.Srv.Stats().Dismissed)

	t.Run("without a guard", func(t *testing.T) {
		at := time.Now().Add(briefly)
		k := start(t, func(_ *yserver.Config, p *yserver.Party) {
			p.Access = func(context.Context, *gate.Request) (gate.Decision, error) {
				return gate.Decision{Identity: gate.Identity{UserID: "u", ExpiresAt: at}, Until: at.Add(time.Hour)}, nil
			}
		})
		w := k.dial("/parties/main/r")
		w.expectEnd(4401, "token expired")
	})
}

// A document goes on for a grace, to which another look belongs.
func TestExpiryGraceOfDocuments(t *testing.T) {
	t.Parallel()
	d := newDirectory()
	k := start(t, guarded(t, d), withGrace(time.Second))
	d.knows("ann", by(gate.MethodSession))
	d.set(func() { d.lasts["ann"], d.now["ann"] = briefly, gate.Checked{Refusal: gate.RefuseExpired()} })
	ann, _ := k.join("/parties/main/r?token=ann")
	eventually(t, "the session is looked at", func() bool { return len(d.batches()) == 1 })
	ann.update(typed(7, 0, "late"))
	require.EqualValues(t, 4, clocks(t, ann.collect(4))[0].Clock, "it can be edited meanwhile")
	k.recheck(yserver.RecheckFilter{})
	require.Zero(t, k.Srv.Stats().Dismissed, "a recheck does not shorten the grace")
	ann.expectEnd(4401, "token expired")
	require.Len(t, d.batches(), 3)

	t.Run("none", func(t *testing.T) {
		d.knows("ann")
		k := start(t, guarded(t, d), withGrace(-1))
		k.dial("/parties/main/r?token=ann").expectEnd(4401, "token expired")
	})
	t.Run("no grace for what is refused", func(t *testing.T) {
		d.knows("cut", by(gate.MethodSession))
		d.set(func() { d.lasts["cut"] = briefly })
		k := start(t, guarded(t, d), withGrace(time.Hour))
		w := k.dial("/parties/main/r?token=cut")
		d.set(func() {
			d.out["cut"] = gate.RefuseFirewall()
			d.now["cut"] = gate.Checked{Identity: gate.Identity{UserID: "cut"}}
		})
		w.expectClose(4403)
	})
}

// Sessions slide: the row is read again before a connection ends.
func TestExpiryOfSessionsThatSlide(t *testing.T) {
	t.Parallel()
	d := newDirectory()
	k := start(t, messages(yserver.Message{Relay: yserver.RelayJSON}), guarded(t, d))
	d.knows("ann", by(gate.MethodSession))
	slid := d.who["ann"]
	slid.Roles = []string{"editor"}
	d.set(func() { d.lasts["ann"], d.now["ann"] = briefly, gate.Checked{Identity: slid} })
	ann := k.visit("a", "token=ann")
	conn := k.room("r").Connection("a")
	eventually(t, "it slides", func() bool { return len(conn.Identity().Roles) == 1 })
	d.set(func() { d.down = errAway })
	eventually(t, "it is asked about again", func() bool { return len(d.batches()) >= 2 })
	ann.noText()
	require.Zero(t, k.Srv.Stats().Dismissed, "a backend that is away closes nobody")
	require.Positive(t, k.Srv.Stats().RecheckErrors)
	d.set(func() { d.down, d.now["ann"] = nil, gate.Checked{Refusal: gate.RefuseInvalid()} })
	ann.expectEnd(4401, "token expired")
}

// A decision may end before the identity, and is then made again.
func TestDecisionsThatEnd(t *testing.T) {
	d := newDirectory()
	d.knows("ann", until(far()))
	d.set(func() { d.lasts["rule of ann"] = briefly })
	k := start(t, guarded(t, d), withGrace(time.Hour))
	w, _ := k.join("/parties/main/r?token=ann")
	d.set(func() { delete(d.lasts, "rule of ann"); d.may["ann"] = gate.Decision{Write: false} })
	w.expect("02 00 09 726561642d6f6e6c79")
	d.set(func() { d.out["ann"] = gate.RefuseDenied() })
	require.Equal(t, yserver.RecheckResult{Checked: 1, Closed: 1}, k.recheck(yserver.RecheckFilter{}))
	w.expectEnd(4403, "the caller may not open this room")
}

// A recheck asks about all at once, and does what the gate says to each.
func TestRecheck(t *testing.T) {
	d := newDirectory()
	names := []string{"same", "gone", "stranger", "hidden", "reader", "away"}
	wires := map[string]*wire{}
	for _, name := range names {
		d.knows(name)
	}
	k := start(t, guarded(t, d))
	for _, name := range names {
		wires[name], _ = k.join("/parties/main/r?token=" + name)
	}
	d.set(func() {
		d.now["gone"] = gate.Checked{Refusal: gate.RefuseInvalid()}
		d.now["away"] = gate.Checked{Refusal: gate.RefuseAuthUnavailable()}
		d.out["stranger"], d.out["hidden"] = gate.RefuseFirewall(), gate.RefuseNotFound()
		d.may["reader"] = gate.Decision{}
	})
	want := yserver.RecheckResult{Checked: 6, Closed: 3, ReadOnly: 1, Unknown: 1}
	require.Equal(t, want, k.recheck(yserver.RecheckFilter{}))
	require.Equal(t, []int{6}, d.batches(), "one question for all")
	wires["gone"].expectEnd(4401, "the credential is not valid")
	wires["stranger"].expectClose(4403)
	wires["hidden"].expectClose(4404)
	wires["same"].update(typed(3, 0, "on"))
	for _, name := range []string{"same", "away"} {
		holds(t, wires[name].collect(2), 3, 2)
	}
	eventually(t, "they have left", func() bool { return k.Srv.Stats().Connections == 3 })

	require.Equal(t, 1, k.recheck(yserver.RecheckFilter{UserID: "same"}).Checked)
	require.Equal(t, 3, k.recheck(yserver.RecheckFilter{OrgID: "org", Party: "main", Room: "r"}).Checked)
	require.Zero(t, k.recheck(yserver.RecheckFilter{OrgID: "other"}))
	require.Zero(t, k.recheck(yserver.RecheckFilter{Room: "q"}))
	_, err := k.Srv.Recheck(t.Context(), yserver.RecheckFilter{Party: "none"})
	require.Error(t, err)
}

// Who may no longer write learns it once, and may write again without a word:
// what it typed meanwhile is fetched when it is missed.
func TestRecheckTakesTheRightToWriteAndGivesItBack(t *testing.T) {
	d := newDirectory()
	d.knows("ann")
	k := start(t, guarded(t, d))
	ann, _ := k.join("/parties/main/r?token=ann")
	may := func(write bool) {
		d.set(func() { d.may["ann"] = gate.Decision{Write: write} })
		require.Equal(t, 1, k.recheck(yserver.RecheckFilter{}).Checked)
	}
	ann.update(typed(7, 0, "ab"))
	require.EqualValues(t, 2, clocks(t, ann.collect(2))[0].Clock)
	may(false)
	const denied = "02 00 09 726561642d6f6e6c79"
	ann.expect(denied)
	ann.update(typed(7, 2, "cd"))
	may(false)
	ann.silence()
	may(true)
	ann.update(typed(7, 4, "ef"))
	require.NotEmpty(t, ann.frame(protocol.SyncStep1), "what is missing is asked for")
	ann.update(typed(7, 2, "cd"))
	require.NotEmpty(t, ann.frame(protocol.SyncUpdate))
	eventually(t, "it is stored", func() bool { return k.Srv.Stats().PendingBytes == 0 })
	holds(t, k.stored("r"), 7, 6)
	may(false)
	ann.expect(denied)
}

// Whom a limit made read-only stays so, whatever the gate says.
func TestRecheckLiftsNoLimit(t *testing.T) {
	d := newDirectory()
	d.knows("ann")
	k := start(t, guarded(t, d), func(_ *yserver.Config, p *yserver.Party) { p.Limits.Document = 64 })
	ann, _ := k.join("/parties/main/r?token=ann")
	ann.update(typed(7, 0, string(make([]byte, 200))))
	require.Contains(t, hex.EncodeToString(ann.next()), "0200")
	for _, write := range []bool{false, true} {
		d.set(func() { d.may["ann"] = gate.Decision{Write: write} })
		k.recheck(yserver.RecheckFilter{})
	}
	before := k.Srv.Stats().RefusedWrites
	ann.update(typed(7, 0, "x"))
	eventually(t, "it is refused", func() bool { return k.Srv.Stats().RefusedWrites > before })
	ann.silence()
}

// A message room tells those who may not write, when they try.
func TestRecheckInMessageRooms(t *testing.T) {
	d := newDirectory()
	d.knows("ann", func(id *gate.Identity) { id.Name = "Ann" })
	k := start(t, messages(yserver.Message{Relay: yserver.RelayJSON, Presence: true, PresenceInterval: time.Millisecond}), guarded(t, d))
	ann := k.visit("a", "token=ann")
	require.Equal(t, []someone{{ID: "a", UserID: "ann", Name: "Ann"}}, ann.rosterOf("a"))
	d.set(func() {
		d.may["ann"] = gate.Decision{}
		id := d.who["ann"]
		id.Name = "Annie"
		d.now["ann"] = gate.Checked{Identity: id}
	})
	require.Equal(t, yserver.RecheckResult{Checked: 1, ReadOnly: 1}, k.recheck(yserver.RecheckFilter{}))
	require.Equal(t, "Annie", ann.rosterOf("a")[0].Name)
	ann.sendText(`{"a":1}`)
	ann.hears(`{"type":"error","code":"READ_ONLY"}`)
	d.set(func() { d.may["ann"] = gate.Decision{Write: true} })
	require.Equal(t, 1, k.recheck(yserver.RecheckFilter{}).Writable)
	ann.sendText(`{"a":1}`)
	ann.noText()
}

// Every Config.Recheck all are asked about; who could not be decided, again soon.
func TestRecheckRounds(t *testing.T) {
	t.Parallel()
	d := newDirectory()
	d.knows("ann")
	d.knows("bob")
	k := start(t, messages(yserver.Message{}), guarded(t, d), withRecheck(20*time.Millisecond))
	ann := k.visit("a", "token=ann")
	k.visitRoom("other", "b", "token=bob")
	eventually(t, "a round", func() bool {
		sizes := d.batches()
		return len(sizes) > 0 && sizes[len(sizes)-1] == 2
	})
	d.set(func() { d.down = errAway })
	errorsBefore := k.Srv.Stats().RecheckErrors
	eventually(t, "a round that fails", func() bool { return k.Srv.Stats().RecheckErrors > errorsBefore })
	d.set(func() { d.down, d.now["ann"] = nil, gate.Checked{Refusal: gate.RefuseInvalid()} })
	ann.expectEnd(4401, "the credential is not valid")
	require.EqualValues(t, 1, k.Srv.Stats().Dismissed)

	t.Run("never", func(t *testing.T) {
		d := newDirectory()
		d.knows("ann")
		k := start(t, guarded(t, d), withRecheck(-1))
		w, _ := k.join("/parties/main/r?token=ann")
		w.silence()
		require.Empty(t, d.batches())
	})
}

// In a public room nobody has to be somebody: who no longer is, is anonymous.
func TestExpiryInPublicRooms(t *testing.T) {
	d := newDirectory()
	d.knows("ann")
	d.lasts["ann"] = briefly
	g, err := gate.NewGuard(gate.GuardConfig{Authenticator: d, Public: true})
	require.NoError(t, err)
	room := yserver.Message{Relay: yserver.RelayJSON, Presence: true, PresenceInterval: time.Millisecond}
	k := start(t, messages(room), func(_ *yserver.Config, p *yserver.Party) { p.Access, p.Guard = nil, g })
	bob := k.visit("b")
	bob.rosterOf("b")
	ann := k.visit("a", "token=ann")
	eventually(t, "ann is nobody", func() bool { return bob.roster()[1].UserID == "" })
	ann.sendText(`{"x":1}`)
	bob.hears(`{"x":1,"from":"a"}`)
	require.Zero(t, k.Srv.Stats().Dismissed)
}

// A room that hibernates is not woken up by what happens to its connections.
func TestRecheckOfHibernatingRooms(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(*yserver.Config, *yserver.Party){
		"document": func(*yserver.Config, *yserver.Party) {},
		"messages": messages(yserver.Message{Relay: yserver.RelayJSON}),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDirectory()
			d.knows("ann", by(gate.MethodSession), until(far()))
			d.knows("bob")
			k := start(t, kind, guarded(t, d), withGrace(-1), withHibernateAfter(5*time.Millisecond))
			ann := k.dial("/parties/main/r?_pk=a&token=ann")
			k.dial("/parties/main/r?_pk=b&token=bob")
			k.asleep("r")
			d.set(func() {
				d.may["bob"] = gate.Decision{}
				id := d.who["ann"]
				id.ExpiresAt = time.Now().Add(time.Second)
				d.now["ann"] = gate.Checked{Identity: id}
			})
			sleeps := k.Srv.Stats().Hibernations
			require.Equal(t, yserver.RecheckResult{Checked: 2, ReadOnly: 1}, k.recheck(yserver.RecheckFilter{}))
			require.True(t, yserver.Asleep(k.Srv, "main", "r"))
			require.Equal(t, sleeps, k.Srv.Stats().Hibernations, "nobody woke it up")
			d.set(func() { d.now["ann"] = gate.Checked{Refusal: gate.RefuseExpired()} })
			ann.expectEnd(4401, "token expired")
		})
	}
}

// A verdict on what a connection no longer has does not count.
func TestRecheckOfWhatWasRefreshed(t *testing.T) {
	for name, old := range map[string]gate.Checked{
		"refused":  {Refusal: gate.RefuseInvalid()},
		"admitted": {Identity: gate.Identity{UserID: "ann", OrgID: "org", Proof: "old"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDirectory()
			d.knows("ann")
			k := start(t, messages(yserver.Message{}), guarded(t, d))
			ann := k.visit("a", "token=ann")
			d.set(func() {
				d.now["ann"] = old
				d.hold, d.held = make(chan struct{}), make(chan struct{})
			})
			result := make(chan yserver.RecheckResult)
			go func() {
				r, _ := k.Srv.Recheck(context.Background(), yserver.RecheckFilter{})
				result <- r
			}()
			<-d.held
			d.set(func() { d.who["new"] = gate.Identity{UserID: "ann", OrgID: "org", Proof: "new"} })
			ann.sendText(`{"type":"auth:refresh","token":"new"}`)
			ann.hears(`{"type":"auth:refresh","ok":true}`)
			d.set(func() {
				close(d.hold)
				d.hold = nil
				delete(d.now, "ann")
			})
			require.Equal(t, yserver.RecheckResult{Checked: 1}, <-result)
			require.Equal(t, "new", k.room("r").Connection("a").Identity().Proof)
			ann.sendText("x")
			ann.noText()
			require.Zero(t, k.Srv.Stats().Dismissed)
		})
	}
}

// Of a refresh and a recheck side by side, the one that counts may have been
// decided before the other one: the gate is asked once more.
func TestRecheckBesideARefresh(t *testing.T) {
	d := newDirectory()
	d.knows("ann")
	k := start(t, messages(yserver.Message{}), guarded(t, d))
	ann := k.visit("a", "token=ann")
	d.set(func() { d.hold, d.held = make(chan struct{}), make(chan struct{}) })
	result := make(chan yserver.RecheckResult)
	go func() {
		r, _ := k.Srv.Recheck(context.Background(), yserver.RecheckFilter{})
		result <- r
	}()
	<-d.held
	ann.sendText(`{"type":"auth:refresh","token":"ann"}`)
	ann.hears(`{"type":"auth:refresh","ok":true}`)
	d.set(func() { // after the refresh was decided, and before the recheck is
		d.out["ann"] = gate.RefuseFirewall()
		close(d.hold)
		d.hold = nil
	})
	require.Equal(t, yserver.RecheckResult{Checked: 1}, <-result)
	ann.expectEnd(4403, gate.RefuseFirewall().Message)
}

// Who was admitted before a recheck, and is not there yet while it runs, is asked
// about when it is.
func TestRecheckOfThoseOnTheirWay(t *testing.T) {
	d := newDirectory()
	d.knows("ann")
	s := &script{}
	onTheirWay, goOn := make(chan struct{}), make(chan struct{})
	s.tags = func(context.Context, *yserver.Connection, *http.Request) ([]string, error) {
		close(onTheirWay)
		<-goOn
		return nil, nil
	}
	k := start(t, withScriptedDocument(s), guarded(t, d))
	var ann *wire
	dialled := make(chan struct{})
	go func() {
		defer close(dialled)
		ann = k.dial("/parties/main/r?token=ann")
	}()
	<-onTheirWay
	d.set(func() { d.out["ann"] = gate.RefuseFirewall() })
	require.Zero(t, k.recheck(yserver.RecheckFilter{}).Checked)
	close(goOn)
	<-dialled
	ann.expectClose(4403)
}

// A gate that panics or answers nonsense closes nobody.
func TestRecheckByAGateThatFails(t *testing.T) {
	g := &brokenGuard{}
	k := start(t, func(_ *yserver.Config, p *yserver.Party) { p.Access, p.Guard = nil, g }, withGrace(-1))
	w, _ := k.join("/parties/main/r")
	for _, recheck := range []func([]gate.Held) ([]gate.Verdict, error){
		func([]gate.Held) ([]gate.Verdict, error) { panic("made by a test") },
		func([]gate.Held) ([]gate.Verdict, error) { return nil, errAway },
		func([]gate.Held) ([]gate.Verdict, error) { return make([]gate.Verdict, 2), nil },
	} {
		g.recheck = recheck
		r, _ := k.Srv.Recheck(t.Context(), yserver.RecheckFilter{})
		require.Equal(t, yserver.RecheckResult{Checked: 1, Unknown: 1}, r)
	}
	g.recheck = func([]gate.Held) ([]gate.Verdict, error) {
		return []gate.Verdict{{Decision: gate.Decision{Write: true, Until: time.Now().Add(-time.Second)}}}, nil
	}
	require.Equal(t, 1, k.recheck(yserver.RecheckFilter{}).Closed, "what has ended is over")
	w.expectClose(4401)
}

// brokenGuard admits everybody and rechecks as it is told.
type brokenGuard struct {
	recheck func([]gate.Held) ([]gate.Verdict, error)
}

func (*brokenGuard) Admit(context.Context, *gate.Request) (gate.Decision, error) {
	return gate.Decision{Write: true}, nil
}

func (*brokenGuard) Refresh(context.Context, gate.Held, string) (gate.Decision, error) {
	return gate.Decision{}, errAway
}

func (g *brokenGuard) Recheck(_ context.Context, held []gate.Held) ([]gate.Verdict, error) {
	return g.recheck(held)
}
