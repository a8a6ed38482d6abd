package yserver

// Message is what the rooms of a party do with messages by themselves. The zero
// Message does nothing: everything is left to the room type of the party.
type Message struct{}
