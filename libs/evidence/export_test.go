package evidence

// WriteArchive writes a canonical archive of any members, for forged files.
func WriteArchive(to Output, names []string, contents [][]byte) error {
	a := newArchive(to)
	for i, name := range names {
		a.taken[name] = false // also twice
		if _, err := a.add(name, contents[i]); err != nil {
			return err
		}
	}
	return a.close()
}

// SumOf returns a SHA-256 in hexadecimal digits.
func SumOf(data []byte) string { return sumOf(data) }

// WriteArchiveAt writes an archive as if it began at that place of its file.
func WriteArchiveAt(to Output, begin int64, names []string, contents [][]byte) error {
	a := newArchive(to)
	a.offset = begin
	for i, name := range names {
		if _, err := a.add(name, contents[i]); err != nil {
			return err
		}
	}
	return a.close()
}
