package object

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/yserverd/yserverd/persist"
)

const (
	suffix        = ".yjs.zst"
	versionMark   = "v-"
	sumDigits     = 2 * sha256.Size
	longestSpoken = 128 // bytes of an escaped party or version; a longer one is told by its hash
)

// errName is why a name is none.
var errName = errors.New("not the name of an object")

// Name is what the name of an object tells. Parties and versions are only compared, by Of and OfVersion, since long ones
// are in a name as a hash. The zero Name is none.
type Name struct {
	Store string        // the UUID of the log store, in lower case
	Epoch persist.Epoch // zero for a version
	Seq   persist.Seq   // zero for a version
	Sum   [sha256.Size]byte

	party   string // escaped
	room    [sha256.Size]byte
	version string // escaped; empty for a snapshot
}

// SnapshotName returns the name of the snapshot of a document at a sequence number, for bytes with that sum. The UUID is
// that of the log store, in its usual form and lower case; nobody else may have it.
func SnapshotName(uuid string, k persist.Key, epoch persist.Epoch, seq persist.Seq, sum [sha256.Size]byte) string {
	return Name{Store: uuid, Epoch: epoch, Seq: seq, Sum: sum, party: escape(k.Party), room: sha256.Sum256([]byte(k.Room))}.String()
}

// VersionName returns the name of the version of a document with an id, which is not empty, for bytes with that sum.
func VersionName(uuid string, k persist.Key, id string, sum [sha256.Size]byte) string {
	return Name{Store: uuid, Sum: sum, party: escape(k.Party), room: sha256.Sum256([]byte(k.Room)), version: escape(id)}.String()
}

// StorePrefix is what the names of a log store begin with, and no others.
func StorePrefix(uuid string) string { return uuid + "/" }

// DocumentPrefix is what the names of a document begin with, snapshots and versions of all epochs, and no others.
func DocumentPrefix(uuid string, k persist.Key) string {
	room := sha256.Sum256([]byte(k.Room))
	return uuid + "/" + escape(k.Party) + "/" + hex.EncodeToString(room[:]) + "/"
}

// String returns the name:
//
//	<store>/<party>/<SHA-256 of room>/<epoch>-<seq>-<SHA-256 of the object>.yjs.zst
//	<store>/<party>/<SHA-256 of room>/v-<version>-<SHA-256 of the object>.yjs.zst
func (n Name) String() string {
	file := fmt.Sprintf("%d-%d", n.Epoch, n.Seq)
	if n.version != "" {
		file = versionMark + n.version
	}
	return fmt.Sprintf("%s/%s/%x/%s-%x%s", n.Store, n.party, n.room, file, n.Sum, suffix)
}

// IsVersion tells versions from snapshots.
func (n Name) IsVersion() bool { return n.version != "" }

// Of reports whether it is an object of that document.
func (n Name) Of(k persist.Key) bool {
	return n.party == escape(k.Party) && n.room == sha256.Sum256([]byte(k.Room))
}

// OfVersion reports whether it is the version with that id.
func (n Name) OfVersion(id string) bool { return n.version != "" && n.version == escape(id) }

// ParseName reads a name. What lies beside our objects is an error: the caller leaves it alone.
func ParseName(name string) (Name, error) {
	n, err := parseName(name)
	if err != nil {
		return Name{}, fmt.Errorf("%w: %q", errName, name)
	}
	return n, nil
}

func parseName(name string) (n Name, err error) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || !isUUID(parts[0]) || !isEscaped(parts[1]) {
		return Name{}, errName
	}
	n.Store, n.party = parts[0], parts[1]
	if n.room, err = parseSum(parts[2]); err != nil {
		return Name{}, err
	}
	file, ok := strings.CutSuffix(parts[3], suffix)
	if !ok || len(file) <= sumDigits || file[len(file)-sumDigits-1] != '-' {
		return Name{}, errName
	}
	if n.Sum, err = parseSum(file[len(file)-sumDigits:]); err != nil {
		return Name{}, err
	}
	file = file[:len(file)-sumDigits-1]
	if version, ok := strings.CutPrefix(file, versionMark); ok {
		if !isEscaped(version) {
			return Name{}, errName
		}
		n.version = version
		return n, nil
	}
	epoch, seq, ok := strings.Cut(file, "-")
	if !ok {
		return Name{}, errName
	}
	if n.Epoch, err = parseNumber(epoch); err != nil {
		return Name{}, err
	}
	n.Seq, err = parseNumber(seq)
	return n, err
}

// parseNumber takes what %d writes.
func parseNumber(s string) (uint64, error) {
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(v, 10) != s {
		return 0, errName
	}
	return v, nil
}

// parseSum takes what %x writes.
func parseSum(s string) (sum [sha256.Size]byte, err error) {
	if len(s) != sumDigits || strings.ToLower(s) != s {
		return sum, errName
	}
	_, err = hex.Decode(sum[:], []byte(s))
	return sum, err
}

// isUUID reports whether a string has the usual form of a UUID in lower case.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (s[i] == '-') || !dash && !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }
