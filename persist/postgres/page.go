package postgres

import "encoding/binary"

// Reading a row costs more than a small update does, so the updates of a long log become pages: rows that hold many. Logs
// that snapshots cut in time never have one, and cost nothing more. See the functions append and pack in migrations.
const (
	pageRows    = 256
	longLogRows = 1024
)

// pageHead is what is before each update in a page: its length and its sum.
const pageHead = 8

// nextInPage returns the first update of what is left of a page, which it borrows, and the rest.
func nextInPage(page []byte) (data []byte, sum int32, rest []byte, ok bool) {
	if len(page) < pageHead {
		return nil, 0, nil, false
	}
	n := int64(binary.BigEndian.Uint32(page))
	sum = int32(binary.BigEndian.Uint32(page[4:]))
	page = page[pageHead:]
	if n > int64(len(page)) {
		return nil, 0, nil, false
	}
	return page[:n:n], sum, page[n:], true
}
