package ytest

// White-box access for the external tests, which try the installation with a program of their own.
var (
	Digest = digest
	Lock   = lock
)

// Install installs the packages of a folder.
func Install(dir, npm string) error { return Make(dir, npm, packages) }

// Installed reports whether that was done for the package files as they are.
func Installed(dir string) bool { return made(dir, packages) }
