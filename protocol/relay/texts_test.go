package relay_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
)

// hostile are families of frames whose size is in proportion to n, that would be costly to whoever reads them carelessly.
var hostile = map[string]func(n int) []byte{
	"keys": func(n int) []byte { return object(n, func(i int) string { return fmt.Sprintf(`"%x":%d`, i, i&7) }) },
	"keys in order": func(n int) []byte {
		return object(n, func(i int) string { return fmt.Sprintf(`"k%08d":0`, i) })
	},
	"duplicates":   func(n int) []byte { return object(n, func(int) string { return `"":0` }) },
	"stamped":      func(n int) []byte { return object(n, func(int) string { return `"from":0` }) },
	"escaped keys": func(n int) []byte { return object(n, func(i int) string { return fmt.Sprintf(`"\u0061%x":0`, i) }) },
	"escaped duplicates": func(n int) []byte {
		return object(n, func(int) string { return `"us\u0065rId":0` })
	},
	"long keys": func(n int) []byte {
		prefix := strings.Repeat("k", 1000)
		return object(n/150+1, func(i int) string { return fmt.Sprintf(`"%s%d":0`, prefix, i) })
	},
	"a growing escaped key": func(n int) []byte {
		return object(int(math.Sqrt(float64(n))), func(i int) string { return `"` + strings.Repeat(`\u0061`, 2*i) + `":0` })
	},
	"one long escaped key": func(n int) []byte { return []byte(`{"` + strings.Repeat(`\/`, 3*n) + `":0}`) },
	"a long escaped type":  func(n int) []byte { return []byte(`{"type":"` + strings.Repeat(`\u0061`, n) + `"}`) },
	"a long escaped to":    func(n int) []byte { return []byte(`{"to":"` + strings.Repeat(`\ud800`, n) + `"}`) },
	"types":                func(n int) []byte { return object(n, func(int) string { return `"type":"gap"` }) },
	"nested types": func(n int) []byte {
		return object(n/60+1, func(int) string { return `"type":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) })
	},
	"objects in objects": func(n int) []byte {
		unit := strings.Repeat(`{"":`, 500) + `0` + strings.Repeat(`}`, 500)
		return object(n/300+1, func(i int) string { return fmt.Sprintf(`"%d":%s`, i, unit) })
	},
	"wide and deep": func(n int) []byte {
		side := `"` + strings.Repeat("x", n/70) + `":0,"a":`
		return []byte(`{"a":` + strings.Repeat(`{`+side, 500) + `0` + strings.Repeat(`}`, 500) + `}`)
	},
	"empty objects":  func(n int) []byte { return []byte(`{"a":[` + strings.Repeat(`{},`, n) + `0]}`) },
	"small objects":  func(n int) []byte { return []byte(`{"a":[` + strings.Repeat(`{"":0},`, n) + `0]}`) },
	"small arrays":   func(n int) []byte { return []byte(`{"a":[` + strings.Repeat(`[],`, n) + `0]}`) },
	"numbers":        func(n int) []byte { return []byte(`{"a":[` + strings.Repeat(`0,`, n) + `0]}`) },
	"white space":    func(n int) []byte { return []byte(`{` + strings.Repeat(" \n", 3*n) + `}`) },
	"white space in": func(n int) []byte { return object(n, func(int) string { return ` "" : 0 ` }) },
	"a long string":  func(n int) []byte { return []byte(`{"a":"` + strings.Repeat(`:`, 6*n) + `"}`) },
	"a huge number": func(n int) []byte {
		return []byte(`{"type":"state","patch":{},"ifVersion":` + strings.Repeat(`9`, 6*n) + `}`)
	},
	"an open object": func(n int) []byte { return bytes.Repeat([]byte(`{"a":`), n) },
	"an open array":  func(n int) []byte { return bytes.Repeat([]byte(`[`), 6*n) },
	"an open string": func(n int) []byte { return append([]byte(`{"`), bytes.Repeat([]byte(`\\`), 3*n)...) },
	"objects of keys": func(n int) []byte {
		unit := string(object(100, func(i int) string { return fmt.Sprintf(`"%x":{"":0}`, i) }))
		return object(n/100+1, func(i int) string { return fmt.Sprintf(`"%x":%s`, i, unit) })
	},
}

// object makes an object of n members.
func object(n int, member func(i int) string) []byte {
	b := []byte{'{'}
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, member(i)...)
	}
	return append(b, '}')
}
