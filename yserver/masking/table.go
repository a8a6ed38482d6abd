package masking

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Mask is the mask of a column, and whom it is lifted for.
type Mask struct {
	Type  Type
	Roles []string // who have one of these see the value. No hierarchy: names alone.
	Owner bool     // and the owner of the row does
}

// Config is what is shown of a table.
type Config struct {
	// Fields are the columns that are shown. Nil means all.
	Fields []string
	// Masks are the masks by column. Letter case does not count, so that no way
	// of writing a column gets around its mask.
	Masks map[string]Mask
	// Owner is the column with the user's id that Mask.Owner asks about; it need
	// not be among Fields.
	Owner string
}

// Table is a checked Config. It is immutable and safe for concurrent use.
type Table struct {
	all    bool
	fields map[string]bool
	masks  map[string]column // by name in lower case
	lifts  []lift
	owned  Clear // what an owner sees
	owner  string
}

// column is a column with a mask.
type column struct {
	mask Type
	bit  Clear // zero: it is masked for everybody
}

// lift is a column that those with a role see.
type lift struct {
	bit   Clear
	roles []string
}

// Clear is the set of masked columns of one table that a reader sees as they are.
type Clear uint64

const maxLifts = 64

// Field is a column of a row with its value.
type Field struct {
	Name string
	JSON []byte // the value. Nil means that it is not known: the column is left out.
	Key  bool   // it is part of the row's key
}

// New checks a configuration. Its error names the column at fault.
func New(c Config) (*Table, error) {
	t := &Table{all: c.Fields == nil, fields: map[string]bool{}, masks: map[string]column{}, owner: c.Owner}
	shown := map[string]bool{}
	for _, f := range c.Fields {
		if f == "" {
			return nil, errors.New("a field has no name")
		}
		t.fields[f] = true
		shown[strings.ToLower(f)] = true
	}
	names := make([]string, 0, len(c.Masks))
	for name := range c.Masks {
		names = append(names, name)
	}
	slices.Sort(names) // which bit a column has must not depend on the map
	for _, name := range names {
		m, low := c.Masks[name], strings.ToLower(name)
		if _, err := ParseType(string(m.Type)); err != nil {
			return nil, fmt.Errorf("masking of %q: %w", name, err)
		}
		if _, twice := t.masks[low]; twice {
			return nil, fmt.Errorf("masking of %q: the column has another mask", name)
		}
		if m.Owner && c.Owner == "" {
			return nil, fmt.Errorf("masking of %q: shown to the owner, but no column says who that is", name)
		}
		col := column{mask: m.Type}
		lifted := (len(m.Roles) > 0 || m.Owner) && m.Type != None
		switch {
		case LooksSecret(name) && m.Type != None:
			col.mask = Redact // for everybody
		case lifted && (t.all || shown[low]):
			if len(t.lifts) == maxLifts {
				return nil, fmt.Errorf("masking of %q: more than %d columns are shown to some", name, maxLifts)
			}
			col.bit = 1 << len(t.lifts)
			t.lifts = append(t.lifts, lift{col.bit, slices.Clone(m.Roles)})
			if m.Owner {
				t.owned |= col.bit
			}
		}
		t.masks[low] = col
	}
	return t, nil
}

// ClearFor returns what somebody with these roles sees as it is, whatever the
// row. It does not allocate.
func (t *Table) ClearFor(roles []string) Clear {
	var clear Clear
	for _, l := range t.lifts {
		for _, r := range l.roles {
			if slices.Contains(roles, r) {
				clear |= l.bit
				break
			}
		}
	}
	return clear
}

// ClearForOwner returns what the owner of a row sees as it is.
func (t *Table) ClearForOwner() Clear { return t.owned }

// Owner returns the id of the user whose row this is, empty if nobody's or not
// known.
func (t *Table) Owner(row []Field) string {
	if t.owner == "" {
		return ""
	}
	for _, f := range row {
		if f.Name != t.owner || len(f.JSON) == 0 {
			continue
		}
		var s string
		switch c := f.JSON[0]; {
		case c == '"' && json.Unmarshal(f.JSON, &s) == nil:
			return s
		case c == '-' || c >= '0' && c <= '9':
			return string(f.JSON)
		}
		return ""
	}
	return ""
}

// AppendRow appends the row as a JSON object for those with this Clear, in the
// order of its fields. With keys it is the columns of the key alone. An error
// means that a value is no JSON: then what was appended is of no use.
func (t *Table) AppendRow(dst []byte, row []Field, clear Clear, keys bool) ([]byte, error) {
	dst = append(dst, '{')
	first := true
	for _, f := range row {
		if f.JSON == nil || keys && !f.Key || !t.all && !t.fields[f.Name] {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		var err error
		if dst, err = appendString(dst, f.Name); err != nil {
			return dst, err
		}
		dst = append(dst, ':')
		if dst, err = t.appendValue(dst, f, clear); err != nil {
			return dst, fmt.Errorf("column %q: %w", f.Name, err)
		}
	}
	return append(dst, '}'), nil
}

// appendValue appends a value as it is, or masked.
func (t *Table) appendValue(dst []byte, f Field, clear Clear) ([]byte, error) {
	if !json.Valid(f.JSON) || !utf8.Valid(f.JSON) {
		return dst, errors.New("the value is no JSON")
	}
	col, masked := t.masks[strings.ToLower(f.Name)]
	switch {
	case !masked && LooksSecret(f.Name):
		col.mask = Redact
	case !masked, col.mask == None, col.bit&clear != 0:
		return append(dst, f.JSON...), nil
	}
	var value any
	if err := json.Unmarshal(f.JSON, &value); err != nil {
		return dst, errors.New("the value is no JSON")
	}
	switch v := value.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		return appendString(dst, col.mask.Text(v))
	default:
		return appendString(dst, Redacted)
	}
}

func appendString(dst []byte, s string) ([]byte, error) {
	b, err := json.Marshal(s)
	return append(dst, b...), err
}
