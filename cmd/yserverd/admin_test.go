package main

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/admin"
	"github.com/yserverd/yserverd/yserver"
)

// TestStatsHaveEveryFigure: what a server counts can be asked for.
func TestStatsHaveEveryFigure(t *testing.T) {
	shown := reflect.TypeFor[admin.Stats]()
	for f := range reflect.TypeFor[yserver.Stats]().Fields() {
		_, ok := shown.FieldByName(f.Name)
		require.True(t, ok, "the admin API does not tell %s", f.Name)
	}
}
