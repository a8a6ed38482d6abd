package pebble

import (
	"encoding/binary"

	"github.com/yserverd/yserverd/persist"
)

const (
	flagAutomatic     = 1 << 0
	flagVersionObject = 1 << 1
)

// version is the record of one version, at its time.
//
//	flags epoch seq nameLength name authorLength author place
//
// Numbers are uvarints. Flag 1: automatic. Flag 2: the place is that of an object,
// see head.
type version struct {
	persist.Version
	place place
}

func appendVersion(dst []byte, v *version) []byte {
	var flags byte
	if v.Automatic {
		flags |= flagAutomatic
	}
	if v.place.objectBytes != 0 {
		flags |= flagVersionObject
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, v.Epoch)
	dst = binary.AppendUvarint(dst, v.Seq)
	for _, text := range [...]string{v.Name, v.Author} {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
		dst = append(dst, text...)
	}
	return appendPlace(dst, &v.place)
}

// parseVersion decodes the record at key, the key included.
func parseVersion(key, value []byte) (v version, err error) {
	created, id, err := parseVersionKey(key)
	if err != nil {
		return version{}, err
	}
	data, err := parseRecord(key, value)
	if err != nil {
		return version{}, err
	}
	if len(data) == 0 {
		return version{}, errTruncated
	}
	flags := data[0]
	if flags&^(flagAutomatic|flagVersionObject) != 0 {
		return version{}, errUnknown
	}
	d := uvarints{b: data[1:]}
	v.ID, v.Created = id, alarmTime(created)
	v.Automatic = flags&flagAutomatic != 0
	v.Epoch, v.Seq = d.next(), d.next()
	v.Name, v.Author = d.text(), d.text()
	v.place = d.place(flags&flagVersionObject != 0)
	v.Bytes = int64(v.place.bytes)
	switch {
	case d.err != nil:
		return version{}, d.err
	case len(d.b) != 0, !v.place.plausible(), v.Validate() != nil:
		return version{}, errVersion
	}
	return v, nil
}

// text decodes a length and so many bytes.
func (d *uvarints) text() string {
	n := d.next()
	if d.err == nil && n > uint64(len(d.b)) {
		d.err = errTruncated
	}
	if d.err != nil {
		return ""
	}
	text := string(d.b[:n])
	d.b = d.b[n:]
	return text
}
