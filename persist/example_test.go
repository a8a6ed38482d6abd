package persist_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
)

// A writer that meets a conflict reads what it lacks and appends behind it.
func Example() {
	ctx := context.Background()
	store := persisttest.NewMemory()
	defer store.Close()
	key := persist.Key{Party: "main", Room: "notes"}

	appendAfter := func(after persist.Seq, data string) persist.Result {
		results, err := store.Append(ctx, []persist.Append{{Key: key, After: after, Updates: [][]byte{[]byte(data)}}})
		if err != nil {
			return persist.Result{Err: err} // outcome unknown: LoadAfter tells
		}
		return results[0]
	}
	fmt.Println(appendAfter(0, "first").Seq)

	r := appendAfter(0, "second")
	if errors.Is(r.Err, persist.ErrConflict) {
		rows, _ := store.LoadAfter(ctx, key, 0)
		fmt.Printf("conflict, lacking %d: %s\n", rows[0].Seq, rows[0].Data)
		r = appendAfter(rows[0].Seq, "second")
	}
	fmt.Println(r.Seq)
	// Output:
	// 1
	// conflict, lacking 1: first
	// 2
}

// A room keeps its last messages: a change puts one, drops what is too old and
// sets the alarm, whole or not at all.
func Example_rooms() {
	ctx := context.Background()
	store := persisttest.NewMemory()
	defer store.Close()
	key := persist.Key{Party: "main", Room: "chat"}
	const kept = 2

	for n, text := range []string{"hi", "hello", "bye"} {
		alarm := time.UnixMilli(int64(n))
		err := store.ChangeRooms(ctx, []persist.RoomChange{{
			Key:    key,
			Ranges: []persist.RoomRange{{Space: persist.SpaceHistory, To: fmt.Sprintf("%08d", n-kept+1)}},
			Puts:   []persist.RoomPut{{Space: persist.SpaceHistory, RoomItem: persist.RoomItem{Key: fmt.Sprintf("%08d", n), Value: []byte(text)}}},
			Alarm:  &alarm,
		}})
		if err != nil {
			fmt.Println("outcome unknown, repeating is right:", err)
		}
	}
	messages, more, err := store.ListRoom(ctx, key, persist.RoomRange{Space: persist.SpaceHistory}, false, 0)
	for _, m := range messages {
		fmt.Printf("%s %s\n", m.Key, m.Value)
	}
	fmt.Println(more, err)
	due, err := store.Alarms(ctx, time.UnixMilli(100), 10)
	fmt.Println(due[0].Key, due[0].At.UnixMilli(), err)
	// Output:
	// 00000001 hello
	// 00000002 bye
	// false <nil>
	// main/chat 2 <nil>
}
