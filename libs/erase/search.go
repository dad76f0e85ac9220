package erase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Left is a file that still contains one of the texts.
type Left struct {
	Path  string
	Count int // of the texts in it
}

// SearchFiles searches all files below a folder for the texts, byte for byte, and the names of files and folders, without regard to upper and
// lower case of ASCII letters. It returns those with at least one of the texts.
func SearchFiles(ctx context.Context, folder string, texts ...string) (left []Left, err error) {
	var needles [][]byte
	for _, text := range texts {
		if text != "" {
			needles = append(needles, bytes.ToLower([]byte(text)))
		}
	}
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // the server replaced it
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		inName := 0
		if path != folder {
			inName, _ = countIn(strings.NewReader(d.Name()), needles)
		}
		switch {
		case inName > 0:
			left = append(left, Left{path, inName})
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		f, err := os.Open(path) //nolint:gosec // an operator names the folder, and only reads it
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		count, err := countIn(f, needles)
		if err != nil {
			return fmt.Errorf("search %s: %w", path, err)
		}
		if count > 0 {
			left = append(left, Left{path, count})
		}
		return nil
	})
	return left, err
}

// countIn returns how many of the needles a reader contains. It reads 1 MiB at a time, with the end of the part before.
func countIn(r io.Reader, needles [][]byte) (count int, err error) {
	longest := 0
	for _, n := range needles {
		longest = max(longest, len(n))
	}
	found := make([]bool, len(needles))
	buffer := make([]byte, longest+1<<20)
	kept := 0
	for {
		n, err := io.ReadFull(r, buffer[kept:])
		part := buffer[:kept+n]
		for i := kept; i < len(part); i++ {
			if c := part[i]; c >= 'A' && c <= 'Z' {
				part[i] = c + 'a' - 'A'
			}
		}
		for i, needle := range needles {
			if !found[i] && bytes.Contains(part, needle) {
				found[i] = true
				count++
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return count, nil
		}
		if err != nil {
			return count, err
		}
		kept = copy(buffer, part[max(len(part)-longest, 0):])
	}
}

// AwaitFiles repeats SearchFiles until nothing is left or the time is over, and returns what is left. The server writes its index of subjects
// every two minutes.
func AwaitFiles(ctx context.Context, within, every time.Duration, folder string, texts ...string) (left []Left, err error) {
	end := time.Now().Add(within)
	for {
		left, err = SearchFiles(ctx, folder, texts...)
		if err != nil || len(left) == 0 || time.Now().After(end) {
			return left, err
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return left, ctx.Err()
		}
	}
}

// Texts returns the texts for which the files of an installation are searched after an erasure.
func (t Target) Texts() []string {
	all := slices.Clone(t.IDs)
	if t.Person != nil {
		all = append(all, t.Person.email, t.Person.digits)
	}
	return slices.DeleteFunc(all, func(text string) bool { return strings.TrimSpace(text) == "" })
}
