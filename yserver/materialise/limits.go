package materialise

import "time"

// Limits bounds one use of a state. The zero value is what a server should use.
type Limits struct {
	// Bytes is how long an encoded state may be. Zero means 256 MiB.
	Bytes int64
	// Items is how many items its lists may have, which take some 200 bytes of memory each. Zero means 2,097,152.
	Items int
	// Depth is how many types may be inside each other in what is read or copied. Zero means 512.
	Depth int
	// Output is how many bytes a rendering, the formats of a text and the update of an edit may have. Zero means 256 MiB.
	Output int64
	// Time is how long one call may take, unless its context ends before. Zero means 30 s.
	Time time.Duration
	// CheckBytes is up to which length of a state an edit is also checked with y-crdt, which holds all of it as objects once
	// more. Beyond it an edit is checked by integrating it anew, with our own code alone. Zero means 8 MiB; negative means
	// never.
	CheckBytes int64
}

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 256 << 20
	}
	if l.Items == 0 {
		l.Items = 1 << 21
	}
	if l.Depth == 0 {
		l.Depth = 512
	}
	if l.Output == 0 {
		l.Output = 256 << 20
	}
	if l.Time == 0 {
		l.Time = 30 * time.Second
	}
	if l.CheckBytes == 0 {
		l.CheckBytes = 8 << 20
	}
	return l
}
