package config

// Leaves returns the dotted paths of all keys that hold a value, "*" for a binding.
func Leaves() []string {
	var keys []string
	for _, leaf := range leaves(configType, nil) {
		keys = append(keys, leaf.String())
	}
	return keys
}

// Forget makes a configuration comparable: it no longer knows the lines of its keys.
func Forget(c *Config) *Config {
	if c != nil {
		c.places = nil
	}
	return c
}
