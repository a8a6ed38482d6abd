package config

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// notYet is said of a key of the format that this version does not act on.
const notYet = "known, but not supported by this version"

var (
	configType   = reflect.TypeFor[Config]()
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	decoderType  = reflect.TypeFor[decoder]()
	levelType    = reflect.TypeFor[slog.Level]()
)

// secrets are the keys whose values are not repeated in errors.
var secrets = []string{
	"store.url", "snapshots.s3.access_key", "snapshots.s3.secret_key", "rooms.*.webhook.url", "rooms.*.webhook.secret",
	"admin.tokens", "database.url", "auth.secret", "auth.api_keys.static", "rooms.*.access.webhook",
}

// leaves returns the paths of all values that a struct can hold, "*" for any binding.
func leaves(t reflect.Type, at path) []path {
	switch {
	case reflect.PointerTo(t).Implements(decoderType):
		return []path{at}
	case t.Kind() == reflect.Pointer:
		return leaves(t.Elem(), at)
	case t.Kind() == reflect.Map:
		return leaves(t.Elem(), at.at("*"))
	case t.Kind() != reflect.Struct || t == prefixType:
		return []path{at}
	}
	var all []path
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("koanf"); key != "" {
			all = append(all, leaves(t.Field(i).Type, at.at(key))...)
		}
	}
	return all
}

// decode fills a Config from the merged values and reports every value that has the wrong type or no place.
func (l *loader) decode(values map[string]any, c *Config) {
	l.object(nil, values, reflect.ValueOf(c).Elem())
}

// decoder is a value that has a form of its own in the file. What it cannot use it rejects.
type decoder interface {
	decodeFrom(l *loader, at path, v any)
}

// into sets what dst points to, as value does.
func (l *loader) into(at path, v any, dst any) { l.value(at, v, reflect.ValueOf(dst).Elem()) }

// value sets dst from a value: a mapping, a list or a Scalar.
func (l *loader) value(at path, v any, dst reflect.Value) {
	if s, ok := v.(Scalar); ok && s.Tag == "!!null" && !s.Foreign {
		return // "key:" with nothing behind it is a key left out
	}
	if d, ok := dst.Addr().Interface().(decoder); ok {
		d.decodeFrom(l, at, v)
		return
	}
	switch {
	case dst.Kind() == reflect.Map:
		l.bindings(at, v, dst)
	case dst.Kind() == reflect.Struct && dst.Type() != prefixType:
		l.object(at, v, dst)
	case dst.Kind() == reflect.Slice:
		l.list(at, v, dst)
	default:
		s, ok := v.(Scalar)
		if !ok {
			l.reject(at, "want "+want(dst.Type())+", got "+kind(v))
			return
		}
		l.scalar(at, s, dst)
	}
}

// object sets the fields of a struct from a mapping.
func (l *loader) object(at path, v any, dst reflect.Value) {
	m, ok := v.(map[string]any)
	if !ok {
		l.reject(at, "want a mapping, got "+kind(v))
		return
	}
	fields := make(map[string]int)
	for i := range dst.NumField() {
		if key := dst.Type().Field(i).Tag.Get("koanf"); key != "" {
			fields[key] = i
		}
	}
	for key, v := range m {
		step := at.at(key)
		i, known := fields[key]
		switch {
		case known:
			l.value(step, v, dst.Field(i))
		case step.later():
			l.reject(step, notYet)
		default:
			l.unknown(step, append(keysOf(fields), at.laterKeys()...))
		}
	}
}

// mapping returns a value that has to be a mapping. "key:" with nothing behind it is an empty one.
func (l *loader) mapping(at path, v any) (m map[string]any, ok bool) {
	if s, isScalar := v.(Scalar); v == nil || isScalar && s.Tag == "!!null" && !s.Foreign {
		return nil, true
	}
	if m, ok = v.(map[string]any); !ok {
		l.reject(at, "want a mapping, got "+kind(v))
	}
	return m, ok
}

// unknown reports a key that the format does not have.
func (l *loader) unknown(at path, known []string) {
	slices.Sort(known)
	if meant, ok := nearest(at[len(at)-1], known); ok {
		l.reject(at, "unknown key, did you mean "+meant+"?")
		return
	}
	l.reject(at, "unknown key")
}

// bindings sets the entries of rooms, each over the defaults of a room.
func (l *loader) bindings(at path, v any, dst reflect.Value) {
	m, ok := v.(map[string]any)
	if !ok {
		l.reject(at, "want a mapping of binding names to rooms, got "+kind(v))
		return
	}
	for name, v := range m {
		room := DefaultRoom()
		l.value(at.at(name), v, reflect.ValueOf(room).Elem())
		dst.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(room))
	}
}

// list sets a list. One that comes from the environment is a text with commas.
func (l *loader) list(at path, v any, dst reflect.Value) {
	items, ok := v.([]any)
	if s, isScalar := v.(Scalar); isScalar && s.Foreign {
		ok = true
		for item := range strings.SplitSeq(s.Text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, Scalar{Text: item, Foreign: true})
			}
		}
	}
	if !ok {
		l.reject(at, "want a list, got "+kind(v))
		return
	}
	if len(items) == 0 {
		dst.SetZero()
		return
	}
	list := reflect.MakeSlice(dst.Type(), len(items), len(items))
	for i, item := range items {
		step := at.at("[" + strconv.Itoa(i) + "]")
		if variable, ok := l.variables[at.join()]; ok {
			l.variables[step.join()] = variable
		}
		l.value(step, item, list.Index(i))
	}
	dst.Set(list)
}

// scalar sets one value.
func (l *loader) scalar(at path, s Scalar, dst reflect.Value) {
	// YAML's own idea of a type counts, so that a quoted number is no number and a bare one no text; what came from the
	// environment is whatever its place wants.
	got, text := "", strings.TrimSpace(s.Text)
	if !s.Foreign {
		got = s.Tag
	}
	ok := false
	switch t := dst.Type(); {
	case t == durationType:
		var d time.Duration
		d, ok = parseDuration(text)
		dst.SetInt(int64(d))
	case t == sizeType:
		var n Size
		n, ok = parseSize(text)
		dst.SetInt(int64(n))
	case t == prefixType:
		var p netip.Prefix
		p, ok = parsePrefix(text)
		dst.Set(reflect.ValueOf(p))
	case t == levelType:
		var level slog.Level
		ok = slices.Contains([]string{"debug", "info", "warn", "error"}, text) && level.UnmarshalText([]byte(text)) == nil
		dst.SetInt(int64(level))
	case t.Kind() == reflect.Bool:
		ok = (got == "" || got == "!!bool") && (text == "true" || text == "false")
		dst.SetBool(text == "true")
	case t.Kind() == reflect.Int:
		var n int64
		n, ok = parseCount(text)
		ok = ok && (got == "" || got == "!!int")
		dst.SetInt(n)
	default:
		ok = got == "" || got == "!!str"
		dst.SetString(s.Text)
	}
	if !ok {
		l.reject(at, "want "+want(dst.Type())+", got "+l.shown(at, s))
	}
}

// shown returns a value for an error, or what it is if it must not be told.
func (l *loader) shown(at path, s Scalar) string {
	if s.Foreign {
		return "something else from the environment"
	}
	if slices.ContainsFunc(secrets, func(key string) bool { return at.matches(strings.Split(key, ".")) }) {
		return "something else"
	}
	if len(s.Text) > 60 {
		return "a long text"
	}
	if s.Tag == "!!str" {
		return strconv.Quote(s.Text)
	}
	return s.Text
}

// want names a type to a person, with an example.
func want(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 500ms, 20s or 5m"
	case t == sizeType:
		return "a size in bytes such as 65536, 64KiB or 1MiB"
	case t == prefixType:
		return "an address or a network such as 10.0.0.0/8"
	case t == levelType:
		return "debug, info, warn or error"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Slice:
		return "a list"
	}
	return "a text (quote it if it looks like a number)"
}

// kind names what a value is.
func kind(v any) string {
	switch v.(type) {
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	}
	return "text"
}

// keysOf returns the keys of a map.
func keysOf(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}

// parseDuration reads a Go duration that is not negative.
func parseDuration(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}

// parseCount reads a whole number that is not negative.
func parseCount(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && n <= math.MaxInt32
}

// parsePrefix reads a network, or an address as the network of itself.
func parsePrefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

// parseSize reads a number of bytes that is not negative.
func parseSize(s string) (Size, bool) {
	digits := strings.TrimRight(s, "BKMGTi")
	shift, ok := map[string]int{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[strings.TrimSpace(s[len(digits):])]
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if !ok || err != nil || n < 0 || n > math.MaxInt64>>shift {
		return 0, false
	}
	return Size(n) << shift, true
}

// String returns the size with the largest unit that divides it.
func (s Size) String() string {
	for _, unit := range []struct {
		shift int
		name  string
	}{{40, "TiB"}, {30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if s != 0 && s%(1<<unit.shift) == 0 {
			return fmt.Sprintf("%d%s", s>>unit.shift, unit.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}
