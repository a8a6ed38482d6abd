package postgres

// Parts that are fuzzed.
var (
	FormatCursor        = formatCursor
	ParseCursor         = parseCursor
	FormatVersionCursor = formatVersionCursor
	ParseVersionCursor  = parseVersionCursor
)

// SetPage sets how many updates make a page, and how many a log that has some.
func (s *Store) SetPage(rows, long uint64) { s.page, s.longLog = rows, long }
