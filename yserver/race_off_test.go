//go:build !race

package yserver

const raceEnabled = false
