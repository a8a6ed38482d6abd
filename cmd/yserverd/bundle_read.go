package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// parseManifest reads a part of a manifest.
func parseManifest(in io.Reader, file string) (items []item, err error) {
	decoder := json.NewDecoder(io.LimitReader(in, maxManifestBytes))
	decoder.DisallowUnknownFields()
	for {
		var i item
		err := decoder.Decode(&i)
		if errors.Is(err, io.EOF) {
			return items, nil
		}
		if err == nil && (!filepath.IsLocal(filepath.FromSlash(i.File)) || i.File != path.Clean(i.File) || isPart(i.File)) {
			err = fmt.Errorf("%q is no file below the bundle", i.File)
		}
		if err == nil && (i.Bytes < 0 || i.Bytes > maxUpdateBytes) {
			err = fmt.Errorf("%s has %d bytes", i.File, i.Bytes)
		}
		if err != nil {
			return nil, fmt.Errorf("%s, document %d: %w", file, len(items)+1, err)
		}
		items = append(items, i)
	}
}

// found is a document in a bundle: its update, or what keeps it from being read.
type found struct {
	item
	update []byte
	err    error
}

// errNotWhole says that a bundle lacks its end, or what its end counts.
var errNotWhole = errors.New("this is not the whole export: it was interrupted, or the file was cut")

// checkEnd compares the end of a manifest with the documents that came.
func checkEnd(in io.Reader, came int) error {
	var end total
	if err := json.NewDecoder(io.LimitReader(in, 1<<10)).Decode(&end); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return errNotWhole
		}
		return fmt.Errorf("%s: %w", manifestEnd, err)
	}
	if end.Documents != came {
		return fmt.Errorf("%w: %d documents of %d", errNotWhole, came, end.Documents)
	}
	return nil
}

// readFolder calls fn for each document of a bundle in a folder.
func readFolder(dir string, fn func(*found) error) error {
	root, err := os.OpenRoot(dir) // a link out of the folder is not followed
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // it was only read
	parts, err := fs.Glob(root.FS(), manifestFolder+"/*"+manifestSuffix)
	if err != nil {
		return err
	}
	slices.Sort(parts)
	came := 0
	for _, part := range parts {
		f, err := root.Open(part)
		if err != nil {
			return err
		}
		items, err := parseManifest(f, part)
		_ = f.Close()
		if err != nil {
			return err
		}
		for _, i := range items {
			if err := fn(readItem(root, i)); err != nil {
				return err
			}
		}
		came += len(items)
	}
	end, err := root.Open(manifestEnd)
	if errors.Is(err, fs.ErrNotExist) {
		return errNotWhole
	}
	if err != nil {
		return err
	}
	defer func() { _ = end.Close() }() // it was only read
	return checkEnd(end, came)
}

// readItem reads a document of a bundle in a folder.
func readItem(root *os.Root, i item) *found {
	d := &found{item: i}
	f, err := root.Open(filepath.FromSlash(i.File))
	if err != nil {
		d.err = err
		return d
	}
	defer func() { _ = f.Close() }()
	if d.update, d.err = readBounded(io.LimitReader(f, i.Bytes+1), i.File); d.err == nil {
		d.err = i.verify(d.update)
	}
	return d
}

// readTar calls fn for each document of a bundle in a tar file, which is read once from its beginning to its end.
func readTar(in io.Reader, fn func(*found) error) error {
	waiting, came := make(map[string]item), 0
	for entries := tar.NewReader(in); ; {
		h, err := entries.Next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errNotWhole
		case err != nil:
			return fmt.Errorf("this is no tar file: %w", err)
		case h.Typeflag == tar.TypeDir:
			continue
		}
		file := path.Clean(h.Name)
		if file == manifestEnd {
			if err := notThere(waiting, fn); err != nil {
				return err
			}
			return checkEnd(entries, came)
		}
		if isPart(file) {
			items, err := parseManifest(entries, file)
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return errNotWhole
			}
			if err != nil {
				return err
			}
			for _, i := range items {
				waiting[i.File] = i
			}
			came += len(items)
			continue
		}
		i, ok := waiting[file]
		if !ok || h.Typeflag != tar.TypeReg {
			return fmt.Errorf("%q stands in front of the manifest, or is none of its documents: extract the tar file and import the folder", h.Name)
		}
		delete(waiting, file)
		d := &found{item: i}
		if d.update, d.err = readBounded(io.LimitReader(entries, i.Bytes+1), file); d.err == nil {
			d.err = i.verify(d.update)
		}
		if err := fn(d); err != nil {
			return err
		}
	}
}

// notThere reports the documents that a manifest names and that never came.
func notThere(waiting map[string]item, fn func(*found) error) error {
	for _, file := range slices.Sorted(maps.Keys(waiting)) {
		if err := fn(&found{item: waiting[file], err: fmt.Errorf("%s: %w", file, fs.ErrNotExist)}); err != nil {
			return err
		}
	}
	return nil
}
