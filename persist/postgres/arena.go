package postgres

// arenaBlock is how much is allocated for small rows at a time.
const arenaBlock = 64 << 10

// arena copies what pgx lends into few allocations. It is a pgtype.BytesScanner: the last value read is taken with take.
type arena struct {
	block []byte
	last  []byte
}

// ScanBytes copies a value. Nil is NULL.
func (a *arena) ScanBytes(v []byte) error {
	switch {
	case v == nil:
		a.last = nil
		return nil
	case len(v) == 0:
		a.last = []byte{}
		return nil
	case len(v) >= arenaBlock/4:
		a.last = append(make([]byte, 0, len(v)), v...)
		return nil
	case len(v) > cap(a.block)-len(a.block):
		a.block = make([]byte, 0, arenaBlock)
	}
	n := len(a.block)
	a.block = append(a.block, v...)
	a.last = a.block[n:len(a.block):len(a.block)]
	return nil
}

// take returns the last value, which is the caller's.
func (a *arena) take() []byte {
	v := a.last
	a.last = nil
	return v
}
