package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
)

// programsEnv names the environment variable with the folder of PostgreSQL's programs.
const programsEnv = "YSERVERD_TEST_POSTGRES"

// superuser is who PostgreSQL runs as where the tests run as root.
const superuser = "postgres"

// debianPrograms is where Debian has them, a folder for each version.
const debianPrograms = "/usr/lib/postgresql/*/bin"

// programs are what a cluster is made with and run with.
type programs struct {
	initdb, postgres string
	user             string // empty: that of the tests
}

// findPrograms says in its error what is missing.
func findPrograms() (programs, error) {
	p := programs{}
	if os.Getuid() == 0 {
		if _, err := user.Lookup(superuser); err != nil {
			return programs{}, fmt.Errorf("PostgreSQL does not run as root, and there is nobody to run it as: %w", err)
		}
		p.user = superuser
	}
	for _, dir := range folders() {
		p.initdb, p.postgres = filepath.Join(dir, "initdb"), filepath.Join(dir, "postgres")
		if executable(p.initdb) && executable(p.postgres) {
			return p, nil
		}
	}
	return programs{}, errors.New("PostgreSQL is not here (make needs installs it on Debian): no folder has initdb and postgres")
}

// folders are where the programs may be, the best first.
func folders() []string {
	if dir := os.Getenv(programsEnv); dir != "" {
		return []string{dir}
	}
	var dirs []string
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	debian, _ := filepath.Glob(debianPrograms) // the pattern is well formed
	slices.SortFunc(debian, func(a, b string) int { return version(b) - version(a) })
	return append(dirs, debian...)
}

// version is that of a folder of Debian's.
func version(dir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir))) // what is no number comes last
	return n
}

func executable(path string) bool {
	_, err := exec.LookPath(path)
	return err == nil
}
