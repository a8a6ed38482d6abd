//go:build !unix

package ytest

import "sync"

var making sync.Mutex

// lock keeps the tests of one process apart; elsewhere than on Unix, run one test process at a time.
func lock(string) (unlock func(), err error) {
	making.Lock()
	return making.Unlock, nil
}
