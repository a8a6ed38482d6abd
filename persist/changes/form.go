package changes

import "github.com/jackc/pgx/v5/pgtype"

// shape is how values of a type are written in JSON.
type shape byte

const (
	shapeText        shape = iota // a string of the text
	shapeBool                     // t, f
	shapeNumber                   // the digits as they are; NaN and the infinities are strings
	shapeJSON                     // the text as it is
	shapeTimestamp                // with a T in the middle
	shapeTimestampTZ              // and the minutes of the zone
)

// form is how values of a column are written in JSON. Its zero value is that of text.
type form struct {
	shape     shape // of the elements, if it is an array
	array     bool
	delimiter byte // between elements; zero for what is no array
}

// shapeOf returns the shape of a type that is no domain and no array. What has none here is text: to_json does the same
// with all types but composite ones and those with a cast to json of their own.
func shapeOf(oid uint32) shape {
	switch oid {
	case pgtype.BoolOID:
		return shapeBool
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID:
		return shapeNumber
	case pgtype.JSONOID, pgtype.JSONBOID:
		return shapeJSON
	case pgtype.TimestampOID:
		return shapeTimestamp
	case pgtype.TimestamptzOID:
		return shapeTimestampTZ
	}
	return shapeText
}
