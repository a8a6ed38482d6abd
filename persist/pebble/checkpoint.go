package pebble

import (
	"crypto/rand"
	"fmt"
	"strings"
)

// checkpointPrefix begins the names of the folders that hold checkpoints, inside the store's own: there files can be
// linked. The engine passes over what it does not know.
const checkpointPrefix = "checkpoint-"

// Checkpoint makes a consistent copy of the store in a folder of its own below the store's, for as long as somebody
// copies it elsewhere, and returns its name. Everything that was acknowledged before is in it. Writes go on meanwhile.
// Tables are linked, so it costs the log's bytes at first, and later what the engine has rewritten since: at most the
// size of the store. The caller removes it, before or after Close; what a crash leaves, the next Open removes.
func (s *Store) Checkpoint() (dir string, remove func() error, err error) {
	dir = s.fs.PathJoin(s.dir, checkpointPrefix+strings.ToLower(rand.Text()))
	if err := s.Backup(dir); err != nil {
		return "", nil, err
	}
	return dir, func() error { return s.removeCheckpoint(dir) }, nil
}

func (s *Store) removeCheckpoint(dir string) error {
	if err := s.fs.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove checkpoint: %w", err)
	}
	return nil
}

// dropCheckpoints removes what a process that was killed had not removed. A folder that does not go costs disk space and
// nothing else, so it is told and left.
func (s *Store) dropCheckpoints() {
	names, err := s.fs.List(s.dir)
	for _, name := range names {
		if strings.HasPrefix(name, checkpointPrefix) && err == nil {
			err = s.removeCheckpoint(s.fs.PathJoin(s.dir, name))
		}
	}
	if err != nil {
		s.log.Warn("what is left of a backup could not be removed", "error", err)
	}
}
