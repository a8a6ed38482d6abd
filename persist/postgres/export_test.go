package postgres

// Parts that are fuzzed.
var (
	FormatCursor        = formatCursor
	ParseCursor         = parseCursor
	FormatVersionCursor = formatVersionCursor
	ParseVersionCursor  = parseVersionCursor
)
