package config

import (
	"slices"
	"strings"
	"time"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// Access is who may open the rooms of a party. The zero Access lets in every authenticated caller.
type Access struct {
	access.RoomRule      // without Write, which has its own key
	Given           bool // the file, or the environment, says something
}

// PublicAccess is that of a party that everybody may open.
func PublicAccess() Access { return Access{RoomRule: access.RoomRule{Public: true}, Given: true} }

// accessForms are the keys of access as a mapping; exactly one of them is there, and resources beside roomId.
var accessForms = []string{"resource", "roomId", "roomIdEquals", "webhook"}

// wantAccess says what access can be.
const wantAccess = "want public, {resource: <feature>}, {roomId: {pattern: ...}, resources: {...}}, {roomIdEquals: ctx.userId} or {webhook: {url: ...}}"

// decodeFrom implements decoder.
func (a *Access) decodeFrom(l *loader, at path, v any) {
	a.Given = true
	m, isMapping := v.(map[string]any)
	if s, isScalar := v.(Scalar); isScalar {
		a.Public = s.Text == "public"
		if !a.Public {
			l.reject(at, wantAccess)
		}
		return
	}
	if !isMapping {
		l.reject(at, wantAccess+", got "+kind(v))
		return
	}
	forms := 0
	for key, v := range m {
		step := at.at(key)
		if slices.Contains(accessForms, key) {
			forms++
		}
		switch key {
		case "resource":
			var ref resourceRef
			l.into(step, v, &ref)
			a.Resource = (*access.ResourceRef)(&ref)
		case "roomId":
			a.Pattern = l.pattern(at, v, m["resources"])
		case "roomIdEquals":
			a.Equals = l.roomIDEquals(step, v)
		case "webhook":
			a.Webhook = l.accessWebhook(step, v)
		case "resources":
			if _, ok := m["roomId"]; !ok {
				l.reject(step, "goes with roomId: {pattern: ...}; for one resource it is resource")
			}
		default:
			l.unknown(step, append(accessForms[:len(accessForms):len(accessForms)], "resources"))
		}
	}
	if forms != 1 {
		l.reject(at, wantAccess)
	}
}

// resourceRef is a resource as access names it: a feature, or a mapping.
type resourceRef access.ResourceRef

// decodeFrom implements decoder.
func (r *resourceRef) decodeFrom(l *loader, at path, v any) {
	if _, ok := v.(Scalar); ok {
		l.aliases[at.at("feature").join()] = at
		l.into(at, v, &r.Feature)
		if r.Feature == "" {
			l.reject(at, "want the name of a feature of resources")
		}
		return
	}
	var fields struct {
		Feature string `koanf:"feature"`
		Table   string `koanf:"table"`
		Key     string `koanf:"key"`
	}
	l.into(at, v, &fields)
	if fields.Feature == "" {
		l.reject(at.at("feature"), "is missing: want the name of a feature of resources")
	}
	*r = resourceRef(fields)
}

// pattern reads the two keys of dispatch by a pattern, which stand beside each other in access.
func (l *loader) pattern(at path, roomID, resources any) *access.Pattern {
	var fields struct {
		Pattern   string `koanf:"pattern"`
		KindGroup int    `koanf:"kindGroup"`
		IDGroup   int    `koanf:"idGroup"`
	}
	step := at.at("roomId")
	l.into(step, roomID, &fields)
	p := &access.Pattern{
		Expr: fields.Pattern, KindGroup: fields.KindGroup, IDGroup: fields.IDGroup, Resources: make(map[string]access.ResourceRef),
	}
	inside := at.at("resources")
	kinds, _ := l.mapping(inside, resources)
	for name, v := range kinds {
		var field struct {
			Resource resourceRef `koanf:"resource"`
		}
		l.into(inside.at(name), v, &field)
		if field.Resource.Feature == "" {
			l.reject(inside.at(name).at("resource"), "is missing: want the name of a feature of resources")
		}
		p.Resources[name] = access.ResourceRef(field.Resource)
	}
	return p
}

// roomIDEquals reads the value of the caller that the room's id has to be.
func (l *loader) roomIDEquals(at path, v any) string {
	var text string
	l.into(at, v, &text)
	switch text {
	case "ctx." + access.CtxUserID, "ctx." + access.CtxActiveOrgID:
		return strings.TrimPrefix(text, "ctx.")
	}
	l.reject(at, "want ctx.userId or ctx.activeOrgId")
	return ""
}

// accessWebhook reads who is asked over HTTP.
func (l *loader) accessWebhook(at path, v any) *access.Webhook {
	fields := struct {
		URL     string        `koanf:"url"`
		Secret  string        `koanf:"secret"`
		Timeout time.Duration `koanf:"timeout"`
	}{Timeout: 3 * time.Second}
	l.into(at, v, &fields)
	l.positive(at.at("timeout"), int64(fields.Timeout))
	return &access.Webhook{URL: fields.URL, Secret: []byte(fields.Secret), Timeout: fields.Timeout}
}

// Write is who, of those who may open a room, may change it.
type Write struct {
	Roles    Roles  `koanf:"roles"`    // any of them; none is everybody
	Presence string `koanf:"presence"` // all, or writers
}

// rule returns the write as a rule, nil if it asks for nothing.
func (w *Write) rule() *access.WriteRule {
	if len(w.Roles) == 0 && w.Presence != "writers" {
		return nil
	}
	return &access.WriteRule{Roles: w.Roles, WritersOnlyPresence: w.Presence == "writers"}
}

// Ticket says what tickets are to a party: false, true or only.
type Ticket gate.TicketMode

// The modes, as Tickets.
const (
	ticketNone = Ticket(gate.TicketsRefused)
	ticketToo  = Ticket(gate.TicketsToo)
	ticketOnly = Ticket(gate.TicketsOnly)
)

// decodeFrom implements decoder.
func (t *Ticket) decodeFrom(l *loader, at path, v any) {
	if s, ok := v.(Scalar); ok {
		switch strings.TrimSpace(s.Text) {
		case "only":
			*t = ticketOnly
			return
		case "true":
			*t = ticketToo
			return
		case "false":
			*t = ticketNone
			return
		}
	}
	l.reject(at, "want true (tickets too), only (nothing but tickets) or false")
}

// Rule returns who may open the rooms, and who may write in them.
func (r *Room) Rule() *access.RoomRule {
	rule := r.Access.RoomRule
	rule.Write = r.Write.rule()
	return &rule
}

// Guarded reports whether the party has to know who its callers are.
func (r *Room) Guarded() bool { return !r.Access.Public || r.Write.rule() != nil }

// Schema returns the resources and relationships, with the roles that they name.
func (c *Config) Schema() *access.Schema {
	return &access.Schema{Features: c.Resources, Relationships: c.Relationships, RoleHierarchy: c.Auth.RoleHierarchy}
}

// Rules returns the rule of every room, by the name of its binding.
func (c *Config) Rules() map[string]*access.RoomRule {
	rules := make(map[string]*access.RoomRule, len(c.Rooms))
	for name, room := range c.Rooms {
		rules[name] = room.Rule()
	}
	return rules
}

// Guarded reports whether any party has to know who its callers are.
func (c *Config) Guarded() bool {
	for _, room := range c.Rooms {
		if room.Guarded() {
			return true
		}
	}
	return false
}

// DatabaseURL returns where the tables of the application are: database.url, or the store's database. Empty is nowhere.
func (c *Config) DatabaseURL() string {
	if c.Database.URL != "" {
		return c.Database.URL
	}
	return c.Store.URL
}
