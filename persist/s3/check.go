package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// checkFolder is where Check tries. It holds no object of a store.
const checkFolder = ".check/"

// probe is what Check puts, and most more than it has, in bytes.
const (
	probe = "probe"
	most  = 1 << 10
)

// ErrUnconditional says that the server overwrites objects that it was told not to. Check returns it.
var ErrUnconditional = errors.New("the server does not honour conditional puts (If-None-Match: *), which keep one process " +
	"from overwriting what another has stored: bring it up to date, or use another one")

// Check implements object.Bucket.
func (b *Bucket) Check(ctx context.Context) error {
	name := checkFolder + rand.Text()
	if err := b.Put(ctx, name, []byte(probe)); err != nil {
		return err
	}
	err := b.try(ctx, name)
	if err == nil {
		return b.delete(ctx, name)
	}
	_ = b.delete(context.WithoutCancel(ctx), name) // the first error says what is wrong
	return err
}

// try does with the probe what stores do with their objects, and what they must not be able to do.
func (b *Bucket) try(ctx context.Context, name string) error {
	limited, stop := b.limit(ctx, most)
	defer stop()
	switch err := b.putNew(limited, name, []byte("another")); {
	case err == nil:
		return fmt.Errorf("%s: %w", b, ErrUnconditional)
	case !errors.Is(err, object.ErrExists):
		return b.failed(ctx, "put", name, err)
	}
	found, err := b.Get(ctx, name, most)
	if err != nil {
		return err
	}
	if string(found) != probe {
		return fmt.Errorf("%s: %w", b, ErrUnconditional)
	}
	listed, err := b.List(ctx, name, "", 1)
	if err != nil {
		return err
	}
	if len(listed) != 1 || listed[0].Name != name {
		return fmt.Errorf("%w: %s does not list what was just put there", persist.ErrUnavailable, b)
	}
	return nil
}
