//go:build !unix

package browser

import "sync"

var building sync.Mutex

// lock keeps the tests of one process apart; elsewhere than on Unix, run one browser test process at a time.
func lock(string) (unlock func(), err error) {
	building.Lock()
	return building.Unlock, nil
}
