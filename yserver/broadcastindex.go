package yserver

import (
	"slices"
	"sync"

	"github.com/yserverd/yserverd/gate"
)

// scopeKind is what a broadcast socket listens to.
type scopeKind uint8

const (
	scopeOrg scopeKind = iota + 1
	scopeUser
	scopeResource
)

// scope is what a broadcast socket listens to: exactly one.
type scope struct {
	kind scopeKind
	id   string
}

// Lists of the index that a subscriber is in.
const (
	inScope = iota
	inUser
	inAll
	lists
)

// subscribers is the index of the broadcast sockets. Its lock is held to look
// something up, and never to write.
type subscribers struct {
	scratch sync.Pool // of *[]*subscriber

	mu     sync.Mutex
	scopes map[scope][]*subscriber  // guarded by mu
	users  map[string][]*subscriber // guarded by mu; by user, whatever the scope
	all    []*subscriber            // guarded by mu
	serial uint64                   // guarded by mu; of the last look
}

func (x *subscribers) init() {
	x.scopes, x.users = map[scope][]*subscriber{}, map[string][]*subscriber{}
	x.scratch.New = func() any { return new([]*subscriber) }
}

func (x *subscribers) add(s *subscriber) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.scopes[s.scope] = s.into(x.scopes[s.scope], inScope)
	x.users[s.user] = s.into(x.users[s.user], inUser)
	x.all = s.into(x.all, inAll)
}

func (x *subscribers) remove(s *subscriber) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.scopes[s.scope] = s.outOf(x.scopes[s.scope], inScope); len(x.scopes[s.scope]) == 0 {
		delete(x.scopes, s.scope)
	}
	if x.users[s.user] = s.outOf(x.users[s.user], inUser); len(x.users[s.user]) == 0 {
		delete(x.users, s.user)
	}
	x.all = s.outOf(x.all, inAll)
}

func (s *subscriber) into(list []*subscriber, which int) []*subscriber {
	s.at[which] = len(list)
	return append(list, s)
}

func (s *subscriber) outOf(list []*subscriber, which int) []*subscriber {
	last := len(list) - 1
	list[s.at[which]] = list[last]
	list[s.at[which]].at[which] = s.at[which]
	list[last] = nil
	return list[:last]
}

// find returns the sockets that something is for, each once, in memory that has
// to be given back. Its cost is that of what it finds.
func (x *subscribers) find(routes ...Route) *[]*subscriber {
	found := x.scratch.Get().(*[]*subscriber)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.serial++
	for i, r := range routes {
		if slices.Contains(routes[:i], r) {
			continue
		}
		switch {
		case r.Everybody:
			x.take(found, x.all)
		case r.OrgID != "":
			x.take(found, x.scopes[scope{scopeOrg, r.OrgID}])
			if r.UserID != "" {
				x.take(found, x.scopes[scope{scopeUser, r.UserID}])
			}
		case r.UserID != "":
			x.take(found, x.users[r.UserID])
		}
		if r.ScopeKey != "" {
			x.take(found, x.scopes[scope{scopeResource, r.ScopeKey}])
		}
	}
	return found
}

func (x *subscribers) take(found *[]*subscriber, list []*subscriber) {
	for _, s := range list {
		if s.mark != x.serial {
			s.mark = x.serial
			*found = append(*found, s)
		}
	}
}

// giveBack takes the memory of find.
func (x *subscribers) giveBack(found *[]*subscriber) {
	clear(*found)
	*found = (*found)[:0]
	x.scratch.Put(found)
}

// userMembers are the connections to rooms by their users, for what is sent to a
// user. A nil *userMembers has none.
type userMembers struct {
	mu    sync.Mutex
	users map[string][]*member // guarded by mu
}

func newUserMembers() *userMembers { return &userMembers{users: map[string][]*member{}} }

// add adds a connection that is not anonymous.
func (u *userMembers) add(m *member) {
	user := m.conn.userID()
	if u == nil || user == "" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	list := u.users[user]
	m.user, m.userAt = user, len(list)
	u.users[user] = append(list, m)
}

// remove takes out a connection that has ended, if it was added.
func (u *userMembers) remove(m *member) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if m.user == "" {
		return
	}
	list := u.users[m.user]
	last := len(list) - 1
	list[m.userAt] = list[last]
	list[m.userAt].userAt = m.userAt
	list[last] = nil
	if u.users[m.user] = list[:last]; last == 0 {
		delete(u.users, m.user)
	}
	m.user = ""
}

// documents returns the connections of a user to documents of a party, empty for
// every party.
func (u *userMembers) documents(user, party string) []*member {
	u.mu.Lock()
	defer u.mu.Unlock()
	var found []*member
	for _, m := range u.users[user] {
		if m.party.Document != nil && (party == "" || party == m.party.Name) && m.conn.userID() == user {
			found = append(found, m)
		}
	}
	return found
}

// identity is who the connection belongs to now. It must not be modified.
func (c *Connection) identity() *gate.Identity { return &c.grant.Load().Identity }
