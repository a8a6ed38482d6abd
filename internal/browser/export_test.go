package browser

// White-box access for the external tests.
var (
	Find     = find
	Converse = converse
)
