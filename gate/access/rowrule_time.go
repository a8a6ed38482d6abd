package access

import (
	"math"
	"strings"
	"time"
)

const (
	microsecond = int64(1)
	second      = 1_000_000 * microsecond
	day         = 24 * 60 * 60 * second
)

// The infinities of dates and times.
const (
	infinity      = "infinity"
	minusInfinity = "-infinity"
)

// zone says what becomes of an offset from UTC.
type zone uint8

const (
	zoneNone    zone = iota // there is none
	zoneIgnored             // timestamp's way with one
	zoneNeeded              // without one it is the session's, which is not ours to know
)

// readDate reads a date in ISO form as days.
func readDate(text string) (scalar, bool) {
	if s, ok := readInfinity(text); ok {
		return s, true
	}
	text, bc := strings.CutSuffix(text, beforeChrist)
	days, rest, ok := cutDate(text, bc)
	return scalar{hi: days}, ok && rest == ""
}

// readClock reads a time of day.
func readClock(text string) (scalar, bool) {
	micros, rest, ok := cutClock(text)
	return scalar{lo: micros}, ok && rest == ""
}

// readTimestamp reads a date and a time in ISO form as days and microseconds, at UTC where there is an offset.
func readTimestamp(z zone) reader {
	return func(text string) (scalar, bool) {
		if s, ok := readInfinity(text); ok {
			return s, true
		}
		text, bc := strings.CutSuffix(text, beforeChrist)
		days, rest, ok := cutDate(text, bc)
		if ok && rest == "" && z != zoneNeeded {
			return scalar{hi: days}, true
		}
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != 'T' {
			return scalar{}, false
		}
		micros, rest, ok := cutClock(rest[1:])
		offset := int64(0)
		if ok && (rest != "" || z == zoneNeeded) {
			offset, rest, ok = cutOffset(rest)
			ok = ok && z != zoneNone
		}
		if z == zoneNeeded {
			micros -= offset
		}
		days, micros = carry(days, micros)
		return scalar{hi: days, lo: micros}, ok && rest == ""
	}
}

// carry brings microseconds into their day.
func carry(days, micros int64) (daysAfter, microsAfter int64) {
	for micros < 0 {
		days, micros = days-1, micros+day
	}
	for micros >= day {
		days, micros = days+1, micros-day
	}
	return days, micros
}

func readInfinity(text string) (scalar, bool) {
	switch text {
	case infinity:
		return scalar{hi: math.MaxInt64}, true
	case minusInfinity:
		return scalar{hi: math.MinInt64}, true
	}
	return scalar{}, false
}

// beforeChrist is behind such dates, and behind the time if there is one.
const beforeChrist = " BC"

// cutDate reads year-month-day, the year of four digits or more, as days since 1970. The year before 1 is 1 BC.
func cutDate(s string, bc bool) (days int64, rest string, ok bool) {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	if n < 4 || n > 7 || len(s) < n+6 || s[n] != '-' || s[n+3] != '-' {
		return 0, s, false
	}
	year, _ := parseInt(s[:n]) // of seven digits at most
	month, okMonth := twoDigits(s[n+1:], 1, 12)
	date, okDate := twoDigits(s[n+4:], 1, 31)
	rest = s[n+6:]
	ok = okMonth && okDate && year > 0
	if bc {
		year = 1 - year
	}
	return daysOf(year, month, date), rest, ok
}

// daysOf counts days in the calendar that PostgreSQL uses for all times, which is that of package time.
func daysOf(year, month, date int64) int64 {
	const cycle, daysOfCycle = 400, 146_097 // the calendar repeats itself
	cycles := year / cycle
	t := time.Date(int(year-cycles*cycle), time.Month(month), int(date), 0, 0, 0, 0, time.UTC)
	return floor(t.Unix(), 24*60*60) + cycles*daysOfCycle
}

func floor(n, by int64) int64 {
	if q := n / by; n%by >= 0 {
		return q
	}
	return n/by - 1
}

// cutClock reads hours, minutes and, unless they are left out, seconds with up to six digits of a fraction.
func cutClock(s string) (micros int64, rest string, ok bool) {
	if len(s) < 5 || s[2] != ':' {
		return 0, s, false
	}
	hours, okHours := twoDigits(s, 0, 24)
	minutes, okMinutes := twoDigits(s[3:], 0, 59)
	micros, rest = (hours*60+minutes)*60*second, s[5:]
	if len(rest) >= 3 && rest[0] == ':' {
		seconds, okSeconds := twoDigits(rest[1:], 0, 59)
		okMinutes = okMinutes && okSeconds
		micros, rest = micros+seconds*second, rest[3:]
		if rest != "" && rest[0] == '.' {
			fraction, n := int64(0), 1
			for unit := second / 10; n < len(rest) && '0' <= rest[n] && rest[n] <= '9'; n++ {
				fraction, unit = fraction+int64(rest[n]-'0')*unit, unit/10
			}
			okMinutes = okMinutes && n > 1 && n <= 7
			micros, rest = micros+fraction, rest[n:]
		}
	}
	return micros, rest, okHours && okMinutes && micros <= day
}

// cutOffset reads Z, or hours with a sign and, unless they are left out, minutes and seconds.
func cutOffset(s string) (micros int64, rest string, ok bool) {
	if s != "" && s[0] == 'Z' {
		return 0, s[1:], true
	}
	if len(s) < 3 || s[0] != '+' && s[0] != '-' {
		return 0, s, false
	}
	hours, ok := twoDigits(s[1:], 0, 15)
	micros, rest = hours*60*60*second, s[3:]
	for unit := 60 * second; unit >= second && len(rest) >= 3 && rest[0] == ':'; unit /= 60 {
		part, fine := twoDigits(rest[1:], 0, 59)
		micros, rest, ok = micros+part*unit, rest[3:], ok && fine
	}
	if s[0] == '-' {
		micros = -micros
	}
	return micros, rest, ok
}

// twoDigits reads a number of two digits within bounds.
func twoDigits(s string, low, high int64) (n int64, ok bool) {
	if len(s) < 2 || !isDigits(s[:2]) {
		return 0, false
	}
	n = int64(s[0]-'0')*10 + int64(s[1]-'0')
	return n, low <= n && n <= high
}
