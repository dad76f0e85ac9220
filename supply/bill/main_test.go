package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
)

// The test binary itself is a program with third-party modules.
func TestThisProgram(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two} {
		if err := bill(t.Context(), self, dir, "v1.2.3", false); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Base(self)
	for _, file := range []string{name + ".cdx.json", name + ".third-party.txt"} {
		a, err := os.ReadFile(filepath.Join(one, file))
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(filepath.Join(two, file)); string(a) != string(b) {
			t.Errorf("%s is not the same twice", file)
		}
	}

	f, err := os.Open(filepath.Join(one, name+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(f, cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	licences := map[string]string{}
	for _, c := range *bom.Components {
		licences[c.Name] = (*c.Licenses)[0].Expression
		if c.Name != "std" && (c.Hashes == nil || c.Version == "" || c.PackageURL != c.BOMRef) {
			t.Errorf("%+v", c)
		}
	}
	if licences["github.com/google/licensecheck"] != "BSD-3-Clause" || licences["github.com/CycloneDX/cyclonedx-go"] != "Apache-2.0" || licences["std"] != "BSD-3-Clause" {
		t.Errorf("%v", licences)
	}
	if bom.Metadata.Component.Version != "v1.2.3" {
		t.Errorf("%+v", bom.Metadata.Component)
	}
	text, _ := os.ReadFile(filepath.Join(one, name+".third-party.txt"))
	if !strings.Contains(string(text), "Copyright (c) 2019 The Go Authors") || !strings.Contains(string(text), "Apache License") {
		t.Error("a licence's text is missing")
	}
}

const mit = `MIT License

Copyright (c) 2020 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`

const gpl = `This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.

This program is distributed in the hope that it will be useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE. See the GNU General Public License for more details.

You should have received a copy of the GNU General Public License along with this program. If not, see <https://www.gnu.org/licenses/>.
`

func TestLicences(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		files map[string]string
		is    string
		fails string
	}{
		"one":                     {map[string]string{"LICENSE": mit, "README": "x"}, "MIT", ""},
		"another spelling":        {map[string]string{"licence.md": mit}, "MIT", ""},
		"two that are allowed":    {map[string]string{"LICENSE": mit, "LICENSE-MIT.txt": mit}, "MIT", ""},
		"one of two is not":       {map[string]string{"LICENSE": mit, "LICENSE.GPL": gpl}, "", "is not an allowed licence"},
		"none":                    {map[string]string{"README": mit}, "", "no licence was found"},
		"words of its own":        {map[string]string{"LICENSE": "Ask me, and pay me for each copy that you run in a factory."}, "", "0% of LICENSE"},
		"more than the licence":   {map[string]string{"LICENSE": mit + strings.Repeat("You owe the author a great deal of money for this. ", 30)}, "", "of LICENSE is a known licence's text"},
		"a program with the name": {map[string]string{"license.go": "package license"}, "", "no licence was found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := module{path: "example.com/m", version: "v1.0.0", dir: t.TempDir()}
			for file, body := range row.files {
				if err := os.WriteFile(filepath.Join(m.dir, file), []byte(body), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := m.license()
			if (err == nil) != (row.fails == "") || err != nil && !strings.Contains(err.Error(), row.fails) {
				t.Errorf("got %v, want %q", err, row.fails)
			}
			if err == nil && m.licence != row.is {
				t.Errorf("got %s, want %s", m.licence, row.is)
			}
		})
	}
}
