package protocol

import "github.com/yserverd/yserverd/protocol/lib0"

// SyncType is the second number of a sync frame.
type SyncType uint64

// The types of sync message.
const (
	SyncStep1  SyncType = 0 // a state vector: what the sender has, to be answered with step 2
	SyncStep2  SyncType = 1 // the update that answers a step 1; the first one makes a client "synced"
	SyncUpdate SyncType = 2 // an update
)

// AppendSyncHeader appends what comes before the payload of a sync frame, so that a payload of that many bytes can be sent
// from where it is.
func AppendSyncHeader(dst []byte, t SyncType, payloadLen int) []byte {
	return lib0.AppendVarUint(append(dst, byte(MessageSync), byte(t)), uint64(payloadLen))
}

// AppendSyncStep1 appends a frame with an encoded state vector (y-protocols writeSyncStep1).
func AppendSyncStep1(dst, sv []byte) []byte {
	return append(AppendSyncHeader(dst, SyncStep1, len(sv)), sv...)
}

// AppendSyncStep2 appends a frame with the update that answers a step 1 (y-protocols writeSyncStep2).
func AppendSyncStep2(dst, update []byte) []byte {
	return append(AppendSyncHeader(dst, SyncStep2, len(update)), update...)
}

// AppendUpdate appends a frame with an update (y-protocols writeUpdate).
func AppendUpdate(dst, update []byte) []byte {
	return append(AppendSyncHeader(dst, SyncUpdate, len(update)), update...)
}
