package ytest

// Install and Installed let the tests try the installation with a program of their own.
var (
	Install   = install
	Installed = installed
)
