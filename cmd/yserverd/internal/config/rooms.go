package config

import (
	"net/url"
	"reflect"
	"strconv"
)

// maxKept is the most that state.max_bytes and history.max_bytes may be: a room has all of it in memory, the state goes
// to every newcomer in one frame, and what a store keeps under one key has a bound.
const maxKept Size = 16 << 20

// validateRoom checks one entry of rooms.
func (l *loader) validateRoom(at path, r *Room) {
	switch r.Type {
	case TypeDocument, TypeMessage:
		l.refuseForeign(at, reflect.TypeFor[Room](), r.Type)
	case "":
		l.fail(at.at("type"), "is missing: want document or message")
	default:
		l.unknownType(at.at("type"), r.Type)
	}
	l.validateGate(at, r)
	l.positive(at.at("ping_interval"), int64(r.PingInterval))
	l.positive(at.at("idle").at("unload_after"), int64(r.Idle.UnloadAfter))
	l.positive(at.at("idle").at("hibernate_after"), int64(r.Idle.HibernateAfter))
	l.allPositive(at.at("limits"), map[string]int64{
		"message": int64(r.Limits.Message), "nesting": int64(r.Limits.Nesting), "peers": int64(r.Limits.Peers),
		"peer_queue": int64(r.Limits.PeerQueue),
	})
	if r.Type != TypeMessage {
		l.validateDocument(at, r)
	}
	if r.Type != TypeDocument {
		l.validateMessage(at, r)
	}
}

// unknownType reports a type that rooms do not have.
func (l *loader) unknownType(at path, got string) {
	known := []string{TypeDocument, TypeMessage}
	if meant, ok := nearest(got, known); ok {
		l.fail(at, "unknown type, did you mean "+meant+"?")
		return
	}
	l.fail(at, "unknown type: want document or message")
}

// refuseForeign reports the keys below a path that belong to rooms of another type.
func (l *loader) refuseForeign(at path, t reflect.Type, roomType string) {
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("koanf")
		if key == "" {
			continue
		}
		step := at.at(key)
		if only := f.Tag.Get("only"); only != "" && only != roomType {
			l.failGiven(step, f.Type, "a "+roomType+" room has no use for it: it belongs to type: "+only)
		} else if f.Type.Kind() == reflect.Struct {
			l.refuseForeign(step, f.Type, roomType)
		}
	}
}

// failGiven reports a key if the file or the environment has it, or one below it.
func (l *loader) failGiven(at path, t reflect.Type, message string) {
	if l.lines[at.join()] > 0 {
		l.fail(at, message)
	}
	for _, leaf := range leaves(t, at) {
		if _, given := l.variables[leaf.join()]; given {
			l.fail(leaf, message)
		}
	}
}

// validateDocument checks what concerns rooms of documents.
func (l *loader) validateDocument(at path, r *Room) {
	l.oneOf(at.at("durability"), r.Durability, "echo", "committed")
	l.validateWebhook(at.at("webhook"), &r.Webhook)
	l.positive(at.at("save").at("wait"), int64(r.Save.Wait))
	if r.Save.MaxWait < r.Save.Wait {
		l.fail(at.at("save").at("max_wait"), "is shorter than save.wait")
	}
	l.allPositive(at.at("limits"), map[string]int64{
		"document": int64(r.Limits.Document), "pending": int64(r.Limits.Pending), "awareness": int64(r.Limits.Awareness),
		"awareness_ids": int64(r.Limits.AwarenessIDs), "awareness_room": int64(r.Limits.AwarenessRoom),
	})
}

// minSecret is the length of a secret, in bytes, from which on it cannot be guessed.
const minSecret = 32

// validateWebhook checks who is told of a party's documents.
func (l *loader) validateWebhook(at path, w *Webhook) {
	for i, event := range w.Events {
		if event != "save" {
			l.fail(at.at("events").at("["+strconv.Itoa(i)+"]"), "want save, the only event")
		}
	}
	if w.URL == "" {
		if w.Secret != "" {
			l.fail(at.at("url"), "is missing, but secret is there: want the URL to be told")
		}
		return
	}
	u, err := url.Parse(w.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		l.fail(at.at("url"), "want a URL such as https://app.example.com/hooks/documents")
	}
	if len(w.Secret) < minSecret {
		l.fail(at.at("secret"), "want at least 32 bytes, since it signs: head -c 32 /dev/urandom | base64")
	}
	if len(w.Events) == 0 {
		l.fail(at.at("events"), "want save, or no webhook")
	}
}

// validateMessage checks what concerns message rooms.
func (l *loader) validateMessage(at path, r *Room) {
	l.oneOf(at.at("relay"), r.Relay, "json", "raw", "none")
	l.kept(at.at("state").at("max_bytes"), r.State.MaxBytes)
	l.kept(at.at("history").at("max_bytes"), r.History.MaxBytes)
	if r.History.Messages > 0 && (r.Relay == "raw" || r.Relay == "none") {
		l.fail(at.at("history").at("messages"), "needs relay: json, since other messages have no offset")
	}
}

// kept reports a bound of what a room keeps that is none.
func (l *loader) kept(at path, n Size) {
	l.positive(at, int64(n))
	if n > maxKept {
		l.fail(at, "want at most "+maxKept.String())
	}
}

// allPositive is positive for keys of one mapping.
func (l *loader) allPositive(at path, numbers map[string]int64) {
	for key, n := range numbers {
		l.positive(at.at(key), n)
	}
}
