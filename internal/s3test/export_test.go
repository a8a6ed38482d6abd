package s3test

import (
	"os/exec"
	"path/filepath"

	"github.com/yserverd/yserverd/internal/ytest"
)

// FindProgram looks for the server on PATH; it is found anyway where it has been built.
func FindProgram() (path string, built bool, err error) {
	_, notBuilt := exec.LookPath(filepath.Join(ytest.Root(), ".cache", "bin", program))
	path, err = findProgram()
	return path, notBuilt == nil, err
}

// Broken returns why a server with an argument does not start.
func Broken(arg string) error {
	path, err := findProgram()
	if err != nil {
		return err
	}
	s, err := newServer(path, "http", []string{arg})
	if err == nil {
		err = s.remove()
	}
	return err
}

// Folder is where the server lies.
func (s *Server) Folder() string { return s.server.Folder.Path }

// Pid is the number of its process.
func (s *Server) Pid() int { return s.server.Pid() }
