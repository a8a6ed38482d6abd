package config_test

import (
	"fmt"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
)

// Every mistake is told at once, each with its line.
func Example() {
	file := []byte(`listen: 127.0.0.1:1234
shutdown_timeout: 20
rooms:
  NOTES: {type: document}
`)
	options := config.Options{
		Environ:   []string{"YSERVERD_LISTEN=nowhere"},
		PartyName: func(binding string) string { return binding },
	}
	_, err := config.Parse("yserverd.yaml", file, options)
	fmt.Println(err)
	// Output:
	// yserverd.yaml:2: shutdown_timeout: want a duration such as 500ms, 20s or 5m, got 20
	// yserverd.yaml:4: auth.secret: is missing, and NOTES has to know its callers: want at least 32 bytes: head -c 32 /dev/urandom | base64; or access: public, which lets everybody in
	// YSERVERD_LISTEN: listen: want an address and a port such as 127.0.0.1:1234 or :1234
}
