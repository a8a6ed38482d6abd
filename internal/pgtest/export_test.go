package pgtest

// Plain is what a test's name becomes.
var Plain = plain

// Pid is the number of the server's process.
func (c *Cluster) Pid() int { return c.server.Pid() }

// Folder is where the cluster lies.
func (c *Cluster) Folder() string { return c.server.Folder.Path }

// FindPrograms looks for PostgreSQL.
func FindPrograms() error {
	_, err := findPrograms()
	return err
}

// Broken returns why a cluster with a setting does not start.
func Broken(setting string) error {
	p, err := findPrograms()
	if err != nil {
		return err
	}
	c, err := newCluster(p, []string{setting})
	if err == nil {
		err = c.remove()
	}
	return err
}
