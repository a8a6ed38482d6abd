package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/yserverd/yserverd/persist"
)

// A bundle is documents in a folder or a tar file: updates of format V1 in files of their own, and a manifest in parts,
// which are JSON lines. In a tar file a part stands in front of the documents that it names, so that a stream can be
// imported; in a folder it is written behind them, so that what it names is there. The end is written last: without it
// a bundle is not whole.
//
//	manifest/000001.jsonl
//	<party>/<room>.bin
//	manifest/end.json
const (
	manifestFolder = "manifest"
	manifestSuffix = ".jsonl"
	manifestEnd    = manifestFolder + "/end.json"
	updateSuffix   = ".bin"

	// maxUpdateBytes bounds a document in a bundle.
	maxUpdateBytes = 1 << 30
	// maxManifestBytes bounds a part of a manifest.
	maxManifestBytes = 256 << 20
)

// name is the name of a document in JSON, which has no other texts than those of UTF-8.
type name struct {
	Party       string `json:"party"`
	Room        string `json:"room"`
	PartyBase64 string `json:"party_base64,omitempty"` // instead, where the name is no UTF-8
	RoomBase64  string `json:"room_base64,omitempty"`
}

// nameOf returns the name of a document.
func nameOf(key persist.Key) (n name) {
	n.Party, n.Room = key.Party, key.Room
	if !utf8.ValidString(key.Party) {
		n.PartyBase64 = base64.StdEncoding.EncodeToString([]byte(key.Party))
	}
	if !utf8.ValidString(key.Room) {
		n.RoomBase64 = base64.StdEncoding.EncodeToString([]byte(key.Room))
	}
	return n
}

// key returns the document's key.
func (n *name) key() (persist.Key, error) {
	key := persist.Key{Party: n.Party, Room: n.Room}
	for _, f := range []struct {
		text string
		dst  *string
	}{{n.PartyBase64, &key.Party}, {n.RoomBase64, &key.Room}} {
		if f.text == "" {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(f.text)
		if err != nil {
			return key, err
		}
		*f.dst = string(b)
	}
	return key, key.Validate()
}

// item is a line of a manifest.
type item struct {
	name
	Epoch   uint64   `json:"epoch"`
	Seq     uint64   `json:"seq"`
	File    string   `json:"file"` // with slashes, below the bundle
	SHA256  string   `json:"sha256"`
	Bytes   int64    `json:"bytes"`
	Created string   `json:"created,omitempty"`
	Updated string   `json:"updated,omitempty"`
	Dead    []uint64 `json:"dead,omitempty"` // client ids of former epochs
}

// verify reports whether an update is the one that the item names.
func (i *item) verify(u []byte) error {
	sum := sha256.Sum256(u)
	if int64(len(u)) != i.Bytes || hex.EncodeToString(sum[:]) != i.SHA256 {
		return fmt.Errorf("%s is not what the manifest says: it was changed, or is not whole", i.File)
	}
	return nil
}

// longestFileName bounds a segment of a path in a bundle; file systems take 255 bytes.
const longestFileName = 200

// fileName returns where a document lies in a bundle.
func fileName(key persist.Key) string {
	return escapeName(key.Party) + "/" + escapeName(key.Room) + updateSuffix
}

// escapeName returns a segment of a path, for each string another one: small letters, digits, hyphens, underscores and
// dots but for the first stay, other bytes are %XX, since file systems that do not tell capitals from small letters are
// common. What would be too long ends with its SHA-256 behind "~".
func escapeName(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() <= longestFileName {
		return b.String()
	}
	sum := sha256.Sum256([]byte(s))
	return b.String()[:longestFileName-2*len(sum)-1] + "~" + hex.EncodeToString(sum[:])
}

// unescapeName reads what escapeName wrote, or a file's name that is no escape at all. It fails for one that was cut.
func unescapeName(s string) (string, error) {
	if strings.Contains(s, "~") {
		return "", fmt.Errorf("the name %q was cut: only a manifest tells the room", s)
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		c, err := hex.DecodeString(s[i+1 : min(i+3, len(s))])
		if err != nil || len(c) != 1 {
			return "", fmt.Errorf("the name %q has a %% that no two hexadecimal digits follow", s)
		}
		b.WriteByte(c[0])
		i += 2
	}
	return b.String(), nil
}

// batch is a part of a manifest with its updates.
type batch struct {
	items   []item
	updates [][]byte
	bytes   int64
}

// manifest returns the batch's part of the manifest.
func (b *batch) manifest() ([]byte, error) {
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	lines.SetEscapeHTML(false)
	for i := range b.items {
		if err := lines.Encode(&b.items[i]); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}

// total is the end of a manifest.
type total struct {
	Documents int `json:"documents"`
}

// text returns the end as it is written.
func (t total) text() []byte { return fmt.Appendf(nil, "{\"documents\":%d}\n", t.Documents) }

// partName is the name of the n-th part of a manifest, from 1 on.
func partName(n int) string { return fmt.Sprintf("%s/%06d%s", manifestFolder, n, manifestSuffix) }

// isPart reports whether a file is part of a manifest.
func isPart(file string) bool {
	return path.Dir(file) == manifestFolder && strings.HasSuffix(file, manifestSuffix)
}
