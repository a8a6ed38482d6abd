//go:build !unix

package ytest

import "errors"

// lock is not there: a test that has to install packages is skipped, one that finds them installed is not.
func lock(string) (func(), error) {
	return nil, errors.New("packages can only be installed on Unix; run npm ci in the fixture's folder")
}
