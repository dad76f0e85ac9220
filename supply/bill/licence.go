package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed lists the licences (SPDX) that a program may contain: they require at most a notice.
var allowed = []string{"0BSD", "Apache-2.0", "Bitstream-Vera", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "Unlicense", "Zlib"}

// read lists texts that the library does not know and that a person has read, by their SHA-256.
var read = map[string]string{
	// The DejaVu fonts: Bitstream Vera, and the same words for Arev and the letters of the AMS; the rest is in the public domain. A program may
	// contain the fonts with this notice.
	"7a083b136e64d064794c3419751e5c7dd10d2f64c108fe5ba161eae5e5958a93": "Bitstream-Vera",
	// The notices of modernc.org/libc: Go, musl, go-netdb and nixpkgs, all under the BSD licences or MIT's.
	"f597097efe3d97021f89170746bd3a0fb9a8b6fb26b82043ed68a4e0283bee6c": "BSD-3-Clause AND BSD-2-Clause AND MIT",
	// The notices of modernc.org/sqlite. What a program links (its section 1) is under MIT's and the BSD licences, or in the public domain. The MPL of
	// its appendix concerns modules that are compiled into nothing.
	"f4a00ade8f4057ab0ea49097d9c459df8559fcf10ca78da0c950343fb7428d37": "BSD-3-Clause AND MIT",
	// The dedication of SQLite to the public domain.
	"8438c9c89b849131ead81d5435cb97fcf052df5b0b286dda8a2d4c29e6cb3fd0": "LicenseRef-SQLite-public-domain",
	// The origin of the logo of modernc.org/memory, which no program contains.
	"5ae5bee3072a841376451b48d8cfcec7188e10543926d5870828d36c8a750dc5": "BSD-3-Clause",
}

// recognised is the minimum percentage of known words in a licence's file.
const recognised = 75

var (
	licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([-._].*)?$`)
	noticeFile  = regexp.MustCompile(`(?i)^(notice|patents|copyright)([-._].*)?$`)
)

type text struct{ name, body string }

// license finds the module's licence and its notices. A module may have several licences; each must be allowed.
func (m *module) license() error {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return err
	}
	var ids []string
	for _, e := range entries {
		name := e.Name()
		isLicence := licenceFile.MatchString(name) && !strings.HasSuffix(name, ".go")
		if e.IsDir() || !isLicence && !noticeFile.MatchString(name) {
			continue
		}
		body, err := os.ReadFile(filepath.Join(m.dir, name))
		if err != nil {
			return err
		}
		m.texts = append(m.texts, text{name, string(body)})
		if !isLicence {
			continue
		}
		if id, known := read[fmt.Sprintf("%x", sha256.Sum256(body))]; known {
			ids = append(ids, id)
			continue
		}
		cover := licensecheck.Scan(body)
		if cover.Percent < recognised {
			return fmt.Errorf("%s %s: %.0f%% of %s is a known licence's text", m.path, m.version, cover.Percent, name)
		}
		for _, match := range cover.Match {
			if match.IsURL {
				continue
			}
			if !slices.Contains(allowed, match.ID) {
				return fmt.Errorf("%s %s: %s in %s is not an allowed licence", m.path, m.version, match.ID, name)
			}
			ids = append(ids, match.ID)
		}
	}
	if len(ids) == 0 {
		return fmt.Errorf("%s %s: no licence was found", m.path, m.version)
	}
	slices.Sort(ids)
	m.licence = strings.Join(slices.Compact(ids), " AND ")
	return nil
}

// notices writes the texts of the licences, as the licences require.
func notices(w io.Writer, program string, modules []module) error {
	if _, err := fmt.Fprintf(w, "The program %s contains the code of others, under these licences.\n", program); err != nil {
		return err
	}
	for _, m := range modules {
		if _, err := fmt.Fprintf(w, "\n%s\n%s %s: %s\n", strings.Repeat("=", 80), m.path, m.version, m.licence); err != nil {
			return err
		}
		for _, t := range m.texts {
			if _, err := fmt.Fprintf(w, "%s\n%s\n\n%s\n", strings.Repeat("-", 80), t.name, strings.TrimSpace(t.body)); err != nil {
				return err
			}
		}
	}
	return nil
}
