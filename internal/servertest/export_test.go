package servertest

// Environment and Log give tests what decides about the process and what is shown of it.
var Environment = environment

// Tail returns the last n bytes of a log.
func Tail(text string, n int) string {
	var l log
	_, _ = l.Write([]byte(text))
	return l.tail(n)
}
