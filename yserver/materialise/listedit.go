package materialise

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// New is a Y type that is made by an edit, with its content.
type New struct {
	Kind    Kind
	Name    string         // of an element or a hook
	Entries map[string]any // of a map or hook; the attributes of an element or text
	Items   []any          // of an array, fragment or element: values, New for types
	Runs    []Run          // of a text
}

// Run is a piece of a new text: a string, or an embed, or a New, with its formats.
type Run struct {
	Insert     any
	Attributes Attributes
}

// ArrayInsert inserts values into a Y.Array: what lib0.AppendAny takes, or New for types.
func (t *Tx) ArrayInsert(at Path, index uint64, values ...any) error {
	return t.insertList(at, index, values, Array)
}

// XMLInsert inserts types into a fragment or element: New of kind Element, XMLText or Hook.
func (t *Tx) XMLInsert(at Path, index uint64, nodes ...New) error {
	values := make([]any, len(nodes))
	for i, n := range nodes {
		if n.Kind != Element && n.Kind != XMLText && n.Kind != Hook {
			return fmt.Errorf("%v in XML: %w", n.Kind, ErrValue)
		}
		values[i] = n
	}
	return t.insertList(at, index, values, Fragment, Element)
}

func (t *Tx) insertList(at Path, index uint64, values []any, kinds ...Kind) error {
	n, err := t.find(at, kinds...)
	if err != nil {
		return err
	}
	c, err := t.at(n, index)
	if err != nil {
		return err
	}
	return c.putValues(values, 0)
}

// ArrayDelete deletes values of a Y.Array.
func (t *Tx) ArrayDelete(at Path, index, length uint64) error {
	return t.deleteList(at, index, length, Array)
}

// XMLDelete deletes children of a fragment or element.
func (t *Tx) XMLDelete(at Path, index, length uint64) error {
	return t.deleteList(at, index, length, Fragment, Element)
}

func (t *Tx) deleteList(at Path, index, length uint64, kinds ...Kind) error {
	n, err := t.find(at, kinds...)
	if err != nil {
		return err
	}
	c, err := t.at(n, index)
	if err != nil {
		return err
	}
	return c.erase(length)
}

// MapSet sets a key of a map or hook, or an attribute of an element or XML text, to what lib0.AppendAny takes or a New.
func (t *Tx) MapSet(at Path, key string, value any) error {
	n, err := t.find(at, Map, Hook, Element, XMLText, Text)
	if err != nil {
		return err
	}
	return t.set(n, key, value, 0)
}

// MapDelete deletes a key or attribute; one that is not there is no error.
func (t *Tx) MapDelete(at Path, key string) error {
	n, err := t.find(at, Map, Hook, Element, XMLText, Text)
	if err != nil {
		return err
	}
	if it := n.value(key); it != nil {
		t.remove(it)
	}
	return nil
}

// set sets a key.
func (t *Tx) set(n *node, key string, value any, depth int) error {
	if !utf8.ValidString(key) {
		return fmt.Errorf("key is not UTF-8: %w", ErrValue)
	}
	kind, body, err := encodeValue(value)
	if err != nil {
		return fmt.Errorf("key %q: %w", key, err)
	}
	it, err := t.putValue(n, key, kind, body)
	if err != nil || kind != update.Type {
		return err
	}
	return t.fill(it.child, value.(New), depth+1)
}

// encodeValue returns the kind and the content of one value.
func encodeValue(value any) (update.Kind, []byte, error) {
	switch v := value.(type) {
	case New:
		if v.Kind > XMLText {
			return 0, nil, fmt.Errorf("a new type of %v: %w", v.Kind, ErrValue)
		}
		body := lib0.AppendVarUint(nil, uint64(v.Kind))
		if v.Kind == Element || v.Kind == Hook {
			body = lib0.AppendVarString(body, v.Name)
		}
		return update.Type, body, nil
	case []byte:
		return update.Binary, v, nil
	}
	body, err := lib0.AppendAny(nil, value)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrValue, err)
	}
	return update.Any, body, nil
}

// putValues writes values at a place, those that one item can hold together.
func (c *cursor) putValues(values []any, depth int) error {
	for len(values) > 0 {
		if n, ok := values[0].(New); ok {
			if err := c.putNew(n, depth); err != nil {
				return err
			}
			values = values[1:]
			continue
		}
		kind, body, err := encodeValue(values[0])
		if err != nil {
			return err
		}
		n := 1
		for kind == update.Any && n < len(values) {
			k, more, err := encodeValue(values[n])
			if err != nil {
				return err
			}
			if k != update.Any {
				break
			}
			body = append(body, more...)
			n++
		}
		if _, err := c.put(kind, body, uint64(n)); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

// putNew writes a new type at a place.
func (c *cursor) putNew(n New, depth int) error {
	kind, body, err := encodeValue(n)
	if err != nil {
		return err
	}
	it, err := c.put(kind, body, 1)
	if err != nil {
		return err
	}
	return c.tx.fill(it.child, n, depth+1)
}

// fill writes the content of a new type.
func (t *Tx) fill(n *node, v New, depth int) error {
	if depth > t.doc.lim.Depth {
		return &LimitError{"depth", int64(t.doc.lim.Depth)}
	}
	if len(v.Items) > 0 && (!v.Kind.lists() || v.Kind.isText()) || len(v.Runs) > 0 && !v.Kind.isText() ||
		len(v.Entries) > 0 && (v.Kind == Array || v.Kind == Fragment) {
		return fmt.Errorf("content that a type of %v cannot have: %w", v.Kind, ErrValue)
	}
	for _, key := range slices.Sorted(maps.Keys(v.Entries)) {
		if err := t.set(n, key, v.Entries[key], depth); err != nil {
			return err
		}
	}
	c, err := t.at(n, 0)
	if err != nil {
		return err
	}
	if err := c.putValues(v.Items, depth); err != nil {
		return err
	}
	for _, r := range v.Runs {
		if err := c.putRun(r); err != nil {
			return err
		}
	}
	return c.lead(noAttributes)
}

// putRun writes a piece of a new text.
func (c *cursor) putRun(r Run) error {
	f, err := c.tx.encoded(r.Attributes)
	if err != nil {
		return err
	}
	want := noAttributes
	for _, key := range slices.Sorted(maps.Keys(f)) {
		want = want.with(key, []byte(f[key]))
	}
	if err := c.lead(want); err != nil {
		return err
	}
	text, ok := r.Insert.(string)
	if !ok {
		return c.embed(r.Insert)
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("text is not UTF-8: %w", ErrValue)
	}
	if text == "" {
		return nil
	}
	_, err = c.put(update.String, []byte(text), lib0.UTF16Len([]byte(text)))
	return err
}
