// Package archive is the blob store with the files of completed documents. The archiver writes it, and the shortener reads it. A key contains
// the hash of its content, so an object is written once and never changes.
package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://; package drivers has the others
	"gocloud.dev/gcerrors"
)

// Store is an archive.
type Store struct {
	bucket *blob.Bucket
	folder string // of a file:// URL; empty for any other
}

// Open opens the archive with a URL: file:///folder, s3://bucket, gs://bucket or azblob://container, each with the options of gocloud.dev/blob. A
// missing folder is created, and only its owner can read it. A cloud's store is not called. The error contains no secret.
func Open(ctx context.Context, address string) (*Store, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("archive.url is not a URL")
	}
	s := new(Store)
	if u.Scheme == "file" {
		s.folder = filepath.FromSlash(u.Path)
		query := u.Query()
		query.Set("create_dir", "true")
		query.Set("dir_file_mode", "0700")
		query.Set("no_tmp_dir", "true") // a rename does not cross file systems
		query.Set("metadata", "skip")   // no second file beside each file
		u.RawQuery = query.Encode()
	}
	s.bucket, err = blob.OpenBucket(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("open the archive (%s): %w", u.Scheme, cause(err))
	}
	return s, nil
}

// Close releases the store's connections.
func (s *Store) Close() error { return s.bucket.Close() }

// Object is a file in the archive.
type Object struct {
	Name

	Key  string
	Size int64     // in bytes
	At   time.Time // when it was stored, by the store's clock, in whole seconds
}

// Of returns the archived files of a document, oldest first.
func (s *Store) Of(ctx context.Context, d Document) ([]Object, error) {
	var all []Object
	objects := s.bucket.List(&blob.ListOptions{Prefix: d.Prefix()})
	for {
		found, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list the archive: %w", cause(err))
		}
		if name, ok := parseName(strings.TrimPrefix(found.Key, d.Prefix())); ok {
			all = append(all, Object{Name: name, Key: found.Key, Size: found.Size, At: found.ModTime.UTC().Truncate(time.Second)})
		}
	}
	sortByAge(all)
	return all, nil
}

// Keys returns the keys that begin with a prefix.
func (s *Store) Keys(ctx context.Context, prefix string) (keys []string, err error) {
	objects := s.bucket.List(&blob.ListOptions{Prefix: prefix})
	for {
		found, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			return keys, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the archive: %w", cause(err))
		}
		keys = append(keys, found.Key)
	}
}

// Put stores a file under its key, unless the key exists. In both cases it returns the object, and its content was compared with the key. f is
// read from its beginning.
func (s *Store) Put(ctx context.Context, d Document, name Name, f *os.File) (o Object, written bool, err error) {
	key := d.Key(name)
	if err := s.clean(ctx, key); err != nil {
		return Object{}, false, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Object{}, false, fmt.Errorf("read the temporary file: %w", err)
	}
	// A writer buffers parts of 5 MiB, the least that S3 accepts, whatever the size of the file.
	err = s.bucket.Upload(ctx, key, f, &blob.WriterOptions{ContentType: MediaType, IfNotExist: true, BufferSize: 5 << 20, MaxConcurrency: 1})
	switch {
	case err == nil:
		written = true
		if err := s.sync(key); err != nil {
			return Object{}, false, err
		}
	case gcerrors.Code(err) != gcerrors.FailedPrecondition:
		return Object{}, false, fmt.Errorf("write to the archive: %w", cause(err))
	}
	is, err := s.bucket.Attributes(ctx, key)
	if err != nil {
		return Object{}, false, fmt.Errorf("read the attributes of an archived file: %w", cause(err))
	}
	o = Object{Name: name, Key: key, Size: is.Size, At: is.ModTime.UTC().Truncate(time.Second)}
	if !written {
		err = s.Verify(ctx, o)
	} else if size, ok := sizeOf(f); ok && size != o.Size {
		err = ErrDamaged
	}
	return o, written, err
}

func sizeOf(f *os.File) (int64, bool) {
	info, err := f.Stat()
	if err != nil {
		return 0, false
	}
	return info.Size(), true
}

// ErrDamaged means that the content of an object is not that of its key. The archive never overwrites an object, so the operator must remove it.
var ErrDamaged = errors.New("an object of the archive does not have the content of its key: remove it, and the file is archived again")

// Verify reads an object and compares its hash with that in its key.
func (s *Store) Verify(ctx context.Context, o Object) error {
	r, err := s.Read(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return fmt.Errorf("read an archived file: %w", cause(err))
	}
	if hex.EncodeToString(sum.Sum(nil)) != o.SHA256 {
		return ErrDamaged
	}
	return nil
}

// Read opens an object. The caller closes it.
func (s *Store) Read(ctx context.Context, o Object) (io.ReadCloser, error) {
	r, err := s.bucket.NewReader(ctx, o.Key, nil)
	if err != nil {
		return nil, fmt.Errorf("open an archived file: %w", cause(err))
	}
	return r, nil
}

// Delete removes an object. A key that does not exist is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.bucket.Delete(ctx, key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return cause(err)
	}
	if s.folder == "" {
		return nil
	}
	// A folder has the document's id as its name, and the library leaves it. A folder with other files stays.
	for path := filepath.Dir(filepath.Join(s.folder, filepath.FromSlash(key))); path != filepath.Clean(s.folder) && path != filepath.Dir(path); path = filepath.Dir(path) {
		if err := os.Remove(path); err != nil {
			return nil //nolint:nilerr // the folder is not empty
		}
	}
	return nil
}

// probe is the prefix of the keys of probes. No source has this name, because it begins with a dash.
const probe = "-probe/"

// Probe writes an object, reads it and deletes it.
func (s *Store) Probe(ctx context.Context, key string) error {
	const content = "signrelay"
	key = probe + key
	if err := s.bucket.WriteAll(ctx, key, []byte(content), nil); err != nil {
		return fmt.Errorf("write: %w", cause(err))
	}
	read, err := s.bucket.ReadAll(ctx, key)
	if err != nil {
		return fmt.Errorf("read: %w", cause(err))
	}
	if string(read) != content {
		return errors.New("read: the content differs from what was written")
	}
	if err := s.bucket.Delete(ctx, key); err != nil {
		return fmt.Errorf("delete: %w", cause(err))
	}
	return nil
}

// Reach reports whether the store responds: it lists no more than one object.
func (s *Store) Reach(ctx context.Context) error {
	_, _, err := s.bucket.ListPage(ctx, blob.FirstPageToken, 1, &blob.ListOptions{Prefix: probe})
	return cause(err)
}

// clean removes the temporary files that a killed program left for the key: only file:// has such files.
func (s *Store) clean(ctx context.Context, key string) error {
	if s.folder == "" {
		return nil
	}
	left := s.bucket.List(&blob.ListOptions{Prefix: key + "."})
	for {
		found, err := left.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && strings.HasSuffix(found.Key, ".tmp") {
			err = s.bucket.Delete(ctx, found.Key)
		}
		if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return fmt.Errorf("remove a temporary file of the archive: %w", cause(err))
		}
	}
}

// sync writes a new file and its folders to the disk: the event that it is archived must not survive a power cut that the file does not survive.
// The library does not sync.
func (s *Store) sync(key string) error {
	if s.folder == "" {
		return nil
	}
	for path := filepath.Join(s.folder, filepath.FromSlash(key)); ; path = filepath.Dir(path) {
		f, err := os.Open(path)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return fmt.Errorf("sync the archive: %w", cause(err))
		}
		if path == filepath.Clean(s.folder) || path == filepath.Dir(path) {
			return nil
		}
	}
}

// Full reports whether an error means that a disk has no room.
func Full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// storeError is the failure of a store. Its text has no path, key or address: they contain a document's id, or a path of the operator's machine.
type storeError struct {
	text string
	err  error
}

func (e *storeError) Error() string { return e.text }
func (e *storeError) Unwrap() error { return e.err }

// cause returns the failure of a store as a storeError.
func cause(err error) error {
	if err == nil {
		return nil
	}
	var system syscall.Errno
	var named interface{ ErrorCode() string } // of S3: NoSuchBucket, AccessDenied
	text := "the store does not respond, or its response is not understood"
	switch code := gcerrors.Code(err); {
	case errors.Is(err, context.DeadlineExceeded):
		text = "no response in time"
	case errors.Is(err, context.Canceled):
		text = "the attempt was cancelled"
	case errors.As(err, &system):
		text = system.Error()
	case errors.As(err, &named) && plain.MatchString(named.ErrorCode()):
		text = named.ErrorCode()
	case code != gcerrors.Unknown && code != gcerrors.OK:
		text = code.String()
	}
	return &storeError{text, err}
}

// plain matches the name of an error.
var plain = regexp.MustCompile(`^[A-Za-z]{1,60}$`)
