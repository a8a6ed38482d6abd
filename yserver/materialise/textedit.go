package materialise

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// Attributes are formats of text by name. Values are what JSON has, as lib0.AppendAny takes them; nil takes a format away.
type Attributes map[string]any

// formats are attributes as JSON texts.
type formats map[string]string

// encoded returns the attributes as JSON texts.
func (t *Tx) encoded(a Attributes) (formats, error) {
	f := make(formats, len(a))
	for key, value := range a {
		text, err := t.jsonOf(value)
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", key, err)
		}
		f[key] = text
	}
	return f, nil
}

// jsonOf returns a value as JSON text. A value that JSON has no form for is an error.
func (t *Tx) jsonOf(value any) (string, error) {
	body, err := lib0.AppendAny(nil, value)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrValue, err)
	}
	o := newOutput(context.WithoutCancel(t.budget.ctx), t.doc.lim)
	v := readAny(body)
	if !jsonable(v) {
		return "", fmt.Errorf("%T in JSON: %w", v, ErrValue)
	}
	o.json(v)
	return string(o.buf), o.err
}

// jsonable reports whether a value is the same after JSON.stringify and JSON.parse.
func jsonable(v any) bool {
	switch v := v.(type) {
	case float64:
		return v-v == 0
	case nil, bool, string:
		return true
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { return !jsonable(e) })
	case lib0.Object:
		return !slices.ContainsFunc(v, func(m lib0.Member) bool { return !jsonable(m.Value) })
	}
	return false
}

// TextInsert inserts text (Y.Text.insert). Nil attributes mean those of the text before; with others the text has just
// these.
func (t *Tx) TextInsert(at Path, index uint64, text string, a Attributes) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("text is not UTF-8: %w", ErrValue)
	}
	if text == "" {
		return nil
	}
	return t.insertText(at, index, a, func(c *cursor) error {
		_, err := c.put(update.String, []byte(text), lib0.UTF16Len([]byte(text)))
		return err
	})
}

// TextEmbed inserts an embed (Y.Text.insertEmbed): a value that JSON has, or a New for a type. Nil attributes mean none.
func (t *Tx) TextEmbed(at Path, index uint64, embed any, a Attributes) error {
	if a == nil {
		a = Attributes{}
	}
	return t.insertText(at, index, a, func(c *cursor) error {
		return c.embed(embed)
	})
}

func (c *cursor) embed(embed any) error {
	if n, ok := embed.(New); ok {
		return c.putNew(n, 0)
	}
	text, err := c.tx.jsonOf(embed)
	if err != nil {
		return err
	}
	_, err = c.put(update.Embed, []byte(text), 1)
	return err
}

// insertText inserts something with formats (insertText in Yjs).
func (t *Tx) insertText(at Path, index uint64, a Attributes, put func(*cursor) error) error {
	n, err := t.find(at, Text, XMLText)
	if err != nil {
		return err
	}
	want, err := t.encoded(a)
	if err != nil {
		return err
	}
	c, err := t.at(n, index)
	if err != nil {
		return err
	}
	for _, has := range c.attrs.list {
		if _, given := want[has.key]; !given {
			want[has.key] = "null"
			if a == nil {
				want[has.key] = has.value
			}
		}
	}
	back, err := c.begin(want)
	if err != nil {
		return err
	}
	if err := put(c); err != nil {
		return err
	}
	return c.finish(back)
}

// begin passes the marks that say what is wanted anyway, writes those that are missing, and returns what was in effect.
func (c *cursor) begin(want formats) (back formats, err error) {
	for c.right != nil {
		if c.right.live() {
			if c.right.kind != update.Format {
				break
			}
			key, value := c.right.mark()
			if !sameJSON(want.get(key), string(value)) {
				break
			}
		}
		if err := c.forward(); err != nil {
			return nil, err
		}
	}
	back = make(formats)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if now := c.attrs.get(key); !sameJSON(now, want[key]) {
			back[key] = now
			if err := c.mark(key, want[key]); err != nil {
				return nil, err
			}
		}
	}
	return back, nil
}

// finish writes the marks that bring back what was in effect, unless they are there.
func (c *cursor) finish(back formats) error {
	for c.right != nil {
		if c.right.live() {
			if c.right.kind != update.Format {
				break
			}
			key, value := c.right.mark()
			old, has := back[key]
			if !has || !sameJSON(old, string(value)) {
				break
			}
			delete(back, key)
		}
		if err := c.forward(); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(back)) {
		if err := c.mark(key, back[key]); err != nil {
			return err
		}
	}
	return nil
}

func (f formats) get(key string) string {
	if v, ok := f[key]; ok {
		return v
	}
	return "null"
}

// sameJSON reports whether two JSON texts are the same value.
func sameJSON(a, b string) bool {
	if a == b {
		return true
	}
	x, y := &output{max: 1 << 62, budget: budget{ctx: context.Background()}}, &output{max: 1 << 62, budget: budget{ctx: context.Background()}}
	x.json(readJSON([]byte(a)))
	y.json(readJSON([]byte(b)))
	return string(x.buf) == string(y.buf)
}

// TextDelete deletes units of a text (Y.Text.delete).
func (t *Tx) TextDelete(at Path, index, length uint64) error {
	n, err := t.find(at, Text, XMLText)
	if err != nil {
		return err
	}
	c, err := t.at(n, index)
	if err != nil {
		return err
	}
	return c.erase(length)
}

// TextFormat gives units of a text formats, or takes them away (Y.Text.format).
func (t *Tx) TextFormat(at Path, index, length uint64, a Attributes) error {
	n, err := t.find(at, Text, XMLText)
	if err != nil {
		return err
	}
	if length == 0 || len(a) == 0 {
		return nil
	}
	want, err := t.encoded(a)
	if err != nil {
		return err
	}
	c, err := t.at(n, index)
	if err != nil {
		return err
	}
	back, err := c.begin(want)
	if err != nil {
		return err
	}
	if err := c.format(length, want, back); err != nil {
		return err
	}
	return c.finish(back)
}

// format goes over units and deletes the marks that say otherwise than what is wanted (formatText in Yjs). Back becomes what
// has to be in effect behind them.
func (c *cursor) format(length uint64, want, back formats) error {
	for c.right != nil && (length > 0 || len(back) > 0 && !c.right.counts()) {
		it := c.right
		switch {
		case !it.live():
		case it.kind == update.Format:
			key, value := it.mark()
			wanted, has := want[key]
			if !has {
				break
			}
			if sameJSON(wanted, string(value)) {
				delete(back, key)
			} else {
				if length == 0 {
					return nil
				}
				back[key] = string(value)
			}
			c.tx.remove(it)
		case it.counts():
			if length < it.n {
				if _, err := c.tx.split(it, length); err != nil {
					return err
				}
			}
			length -= it.n
		}
		if err := c.forward(); err != nil {
			return err
		}
	}
	if length > 0 {
		return fmt.Errorf("%d units past the end: %w", length, ErrRange)
	}
	return nil
}
