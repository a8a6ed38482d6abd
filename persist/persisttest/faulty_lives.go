package persisttest

import (
	"context"

	"github.com/yserverd/yserverd/persist"
)

// Replace implements Store.
func (f *Faulty) Replace(ctx context.Context, key persist.Key, epoch persist.Epoch, dead []uint64, snapshot []byte) (next persist.Epoch, err error) {
	err = f.do(ctx, OpReplace, key, func(Fault) (err error) {
		next, err = f.inner.Replace(ctx, key, epoch, dead, snapshot)
		return err
	})
	if err != nil {
		return 0, err
	}
	return next, nil
}

// Delete implements Store.
func (f *Faulty) Delete(ctx context.Context, key persist.Key, dead []uint64) error {
	return f.do(ctx, OpDelete, key, func(Fault) error { return f.inner.Delete(ctx, key, dead) })
}

// Undelete implements Store.
func (f *Faulty) Undelete(ctx context.Context, key persist.Key) error {
	return f.do(ctx, OpUndelete, key, func(Fault) error { return f.inner.Undelete(ctx, key) })
}

// Purge implements Store.
func (f *Faulty) Purge(ctx context.Context, key persist.Key) error {
	return f.do(ctx, OpPurge, key, func(Fault) error { return f.inner.Purge(ctx, key) })
}

// PutVersion implements Store.
func (f *Faulty) PutVersion(ctx context.Context, key persist.Key, v persist.Version, state []byte) error {
	return f.do(ctx, OpPutVersion, key, func(Fault) error { return f.inner.PutVersion(ctx, key, v, state) })
}

// Versions implements Store.
func (f *Faulty) Versions(ctx context.Context, key persist.Key, cursor string, limit int) (page []persist.Version, next string, err error) {
	err = f.do(ctx, OpVersions, key, func(Fault) (err error) {
		page, next, err = f.inner.Versions(ctx, key, cursor, limit)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return page, next, nil
}

// Version implements Store.
func (f *Faulty) Version(ctx context.Context, key persist.Key, id string) (v persist.Version, state []byte, err error) {
	err = f.do(ctx, OpVersion, key, func(Fault) (err error) {
		v, state, err = f.inner.Version(ctx, key, id)
		return err
	})
	if err != nil {
		return persist.Version{}, nil, err
	}
	return v, state, nil
}

// DeleteVersion implements Store.
func (f *Faulty) DeleteVersion(ctx context.Context, key persist.Key, id string) error {
	return f.do(ctx, OpDeleteVersion, key, func(Fault) error { return f.inner.DeleteVersion(ctx, key, id) })
}

// Sweep implements Store.
func (f *Faulty) Sweep(ctx context.Context, options persist.SweepOptions) (stats persist.SweepStats, err error) {
	err = f.do(ctx, OpSweep, persist.Key{}, func(Fault) (err error) {
		stats, err = f.inner.Sweep(ctx, options)
		return err
	})
	if err != nil {
		return persist.SweepStats{}, err
	}
	return stats, nil
}
