package browser

// White-box access for the external tests.
var (
	Find     = find
	Digest   = digest
	Converse = converse
	Lock     = lock
)
