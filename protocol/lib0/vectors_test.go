package lib0_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
)

// vectors is testdata/vectors.json: what lib0 0.2.120 writes and accepts. It was written by fixtures/yjs/vectors.mjs, which
// says what each part means.
type vectors struct {
	Lib0        string
	Uints, Ints []struct {
		N string
		B []byte
	}
	Anys []struct {
		B     []byte
		Shape string
	}
	Strings []struct {
		B     []byte
		Units int
	}
	JSONs []struct {
		B  []byte
		OK bool
	}
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &v))
	require.Equal(t, "0.2.120", v.Lib0)
	return v
}

func TestVectorsIntegers(t *testing.T) {
	v := readVectors(t)
	require.Greater(t, len(v.Uints), 70)
	for _, c := range v.Uints {
		n, err := strconv.ParseUint(c.N, 10, 64)
		require.NoError(t, err)
		require.Equal(t, c.B, lib0.AppendVarUint(nil, n), c.N)
		require.Equal(t, len(c.B), lib0.VarUintLen(n), c.N)
		// The reader takes another way where eight bytes are left.
		for _, tail := range []int{0, 1, 8} {
			r := lib0.NewReader(append(c.B[:len(c.B):len(c.B)], make([]byte, tail)...))
			got, err := r.VarUint()
			require.NoError(t, err, c.N)
			require.Equal(t, n, got)
			require.Equal(t, tail, r.Len())
		}
	}
	for _, c := range v.Ints {
		digits, negative := strings.CutPrefix(c.N, "-")
		n, err := strconv.ParseUint(digits, 10, 64)
		require.NoError(t, err)
		require.Equal(t, c.B, lib0.AppendVarInt(nil, n, negative), c.N)
		r := lib0.NewReader(c.B)
		magnitude, sign, err := r.VarInt()
		require.NoError(t, err, c.N)
		require.Equal(t, n, magnitude)
		require.Equal(t, negative, sign)
		require.Zero(t, r.Len())
	}
}

func TestVectorsAny(t *testing.T) {
	for _, c := range readVectors(t).Anys {
		r := lib0.NewReader(c.B)
		v, err := r.Any(16)
		require.NoError(t, err, c.Shape)
		require.Zero(t, r.Len())
		require.Equal(t, c.Shape, show(v))
		b, err := lib0.AppendAny(nil, v)
		require.NoError(t, err)
		require.Equal(t, c.B, b, c.Shape)

		r = lib0.NewReader(c.B)
		require.NoError(t, r.SkipAny(16))
		require.Zero(t, r.Len())
	}
}

// show writes a value as the generator of the vectors does.
func show(v any) string {
	switch v := v.(type) {
	case lib0.Undefined:
		return "undefined"
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return fmt.Sprintf("n%016x", math.Float64bits(v))
	case int64:
		return "i" + strconv.FormatInt(v, 10)
	case string:
		return "s" + hex.EncodeToString([]byte(v))
	case []byte:
		return "b" + hex.EncodeToString(v)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = show(v[i])
		}
		return "[" + strings.Join(parts, ",") + "]"
	case lib0.Object:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = show(v[i].Key) + ":" + show(v[i].Value)
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	return fmt.Sprintf("%T", v)
}

func TestVectorsStrings(t *testing.T) {
	refused := 0
	for _, c := range readVectors(t).Strings {
		b := lib0.AppendVarBytes(nil, c.B)
		r := lib0.NewReader(b)
		s, units, err := r.VarStringUnits()
		plain := lib0.NewReader(b)
		same, plainErr := plain.VarString()
		if c.Units < 0 {
			require.ErrorIs(t, err, &lib0.Error{Kind: lib0.ErrUTF8}, "%x", c.B)
			require.Equal(t, err, plainErr)
			refused++
			continue
		}
		require.NoError(t, err, "%x", c.B)
		require.NoError(t, plainErr)
		require.Equal(t, string(c.B), string(s))
		require.Equal(t, s, same)
		require.Equal(t, c.Units, int(units), "%x", c.B)
		require.Equal(t, units, lib0.UTF16Len(s))
	}
	require.Greater(t, refused, 50)
}

func TestVectorsJSON(t *testing.T) {
	accepted := 0
	for _, c := range readVectors(t).JSONs {
		err := lib0.CheckJSON(c.B, 512)
		if c.OK {
			require.NoError(t, err, "%q", c.B)
			accepted++
		} else {
			require.ErrorIs(t, err, &lib0.Error{Kind: lib0.ErrJSON}, "%q", c.B)
		}
	}
	require.Greater(t, accepted, 15)
}
