package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version returns the version of the module, the commit it was built from and the Go version, as far as the build
// recorded them.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown, " + runtime.Version()
	}
	setting := make(map[string]string)
	for _, s := range info.Settings {
		setting[s.Key] = s.Value
	}
	v, commit := info.Main.Version, setting["vcs.revision"]
	if v == "" || v == "(devel)" {
		v = "development build"
	}
	if commit == "" {
		return fmt.Sprintf("%s, %s", v, info.GoVersion)
	}
	if setting["vcs.modified"] == "true" {
		commit += " with changes"
	}
	return fmt.Sprintf("%s, commit %s, %s", v, commit, info.GoVersion)
}
