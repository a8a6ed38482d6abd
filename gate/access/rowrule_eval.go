package access

import (
	"github.com/yserverd/yserverd/gate"
)

// nullity is what a test wants of NULL.
type nullity uint8

const (
	nullFails  nullity = iota // a comparison
	nullWanted                // isNull: true
	nullBarred                // isNull: false
	nullPasses                // a comparison with a value of the caller, or NULL if the caller has a value at all
)

// The orders that an operator wants, a bit for each.
const (
	wantLess  = 1 << 0
	wantEqual = 1 << 1
	wantMore  = 1 << 2
)

// wanted are the orders of the operators. Those of lists are about each element.
var wanted = map[Operator]uint8{
	OpEquals: wantEqual, OpIn: wantEqual, OpNotIn: wantEqual, OpNotEquals: wantLess | wantMore,
	OpLessThan: wantLess, OpLessThanOrEqual: wantLess | wantEqual,
	OpGreaterThan: wantMore, OpGreaterThanOrEqual: wantMore | wantEqual,
}

// rowTest is a Test, or a Clause, on one column of an image.
type rowTest struct {
	column   int // negative: the images do not have it
	null     nullity
	want     uint8
	not      bool     // none of the literals, instead of one of them
	ctx      string   // the caller's value. Empty: literals count
	literals []scalar // one at least
	family   family
	read     reader
	order    order
}

// hold decides the test. Whatever is false for every value that an unknown column may have is Hidden.
func (t *rowTest) hold(id *gate.Identity, row Row) Outcome {
	v := row.at(t.column)
	switch {
	case t.ctx != "":
		return t.caller(id, v)
	case v.Unknown:
		return Unknown
	case t.null == nullWanted:
		return outcomeOf(v.Null)
	case t.null == nullBarred:
		return outcomeOf(!v.Null)
	case v.Null:
		return Hidden
	}
	value, ok := t.read(v.Text)
	if !ok {
		return Unknown
	}
	among := Hidden
	for _, literal := range t.literals {
		if among = max(among, t.compare(value, literal)); among == Visible {
			break
		}
	}
	if t.not {
		return Visible - among
	}
	return among
}

// caller compares with a value of the caller. One that the column's type cannot hold is no value of it.
func (t *rowTest) caller(id *gate.Identity, v Value) Outcome {
	text := ctxValue(id, t.ctx)
	fits := t.family.accepts(text)
	switch {
	case text == "":
		return Hidden
	case v.Unknown && (fits || t.null == nullPasses):
		return Unknown
	case v.Unknown:
		return Hidden
	case v.Null:
		return outcomeOf(t.null == nullPasses)
	case !fits:
		return Hidden
	}
	value, ok := t.read(v.Text)
	other, okOther := t.read(text)
	if !ok || !okOther {
		return Unknown
	}
	return t.compare(value, other)
}

// compare reports whether two values are ordered as the operator wants.
func (t *rowTest) compare(value, other scalar) Outcome {
	o, sure := t.order(value, other)
	switch {
	case !sure:
		return Unknown
	case o < 0:
		return outcomeOf(t.want&wantLess != 0)
	case o > 0:
		return outcomeOf(t.want&wantMore != 0)
	}
	return outcomeOf(t.want&wantEqual != 0)
}

// trimmed returns a text of the column without what does not count at its end.
func (t *rowTest) trimmed(text string) string {
	if t.family == familyPadded {
		s, _ := readPadded(text)
		return s.a
	}
	return text
}

func outcomeOf(holds bool) Outcome {
	if holds {
		return Visible
	}
	return Hidden
}

// rowCondition is a Condition on images.
type rowCondition struct {
	tests []rowTest
	and   []*rowCondition
	or    []*rowCondition
	asks  bool // one of or has to hold
}

// hold decides the condition.
func (c *rowCondition) hold(id *gate.Identity, row Row) Outcome {
	all := Visible
	for i := range c.tests {
		if all = min(all, c.tests[i].hold(id, row)); all == Hidden {
			return Hidden
		}
	}
	for _, part := range c.and {
		if all = min(all, part.hold(id, row)); all == Hidden {
			return Hidden
		}
	}
	if !c.asks {
		return all
	}
	one := Hidden
	for _, part := range c.or {
		if one = max(one, part.hold(id, row)); one == Visible {
			break
		}
	}
	return min(all, one)
}
