package config

// Leaves returns the dotted paths of all keys that hold a value, "*" for a binding.
func Leaves() []string {
	var keys []string
	for _, leaf := range leaves(configType, nil) {
		keys = append(keys, leaf.String())
	}
	return keys
}
