package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed assets
var assetFiles embed.FS

// asset is a file that pages load. Its name has its hash, so browsers may keep it for ever.
type asset struct {
	name, mediaType string
	body, zipped    []byte
}

// assets are the files by the names in templates and by the names in addresses. htmx.js is htmx 2.0.11 (https://htmx.org), unchanged; its licence is in
// assets/htmx.LICENSE (Zero-Clause BSD).
var assets, assetsByName = readAssets(map[string]string{
	"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8", "htmx.js": "text/javascript; charset=utf-8",
	"icon.svg": "image/svg+xml",
})

func readAssets(types map[string]string) (byFile, byName map[string]*asset) {
	byFile, byName = map[string]*asset{}, map[string]*asset{}
	for file, mediaType := range types {
		body, err := assetFiles.ReadFile("assets/" + file)
		if err != nil {
			panic(err) // the file is missing in the source
		}
		sum := sha256.Sum256(body)
		extension := path.Ext(file)
		a := &asset{name: strings.TrimSuffix(file, extension) + "." + hex.EncodeToString(sum[:6]) + extension, mediaType: mediaType, body: body}
		var zipped bytes.Buffer
		z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
		_, _ = z.Write(body) // a buffer accepts everything
		_ = z.Close()
		a.zipped = zipped.Bytes()
		byFile[file], byName[a.name] = a, a
	}
	return byFile, byName
}

// assetPath returns the address of a file, for templates.
func assetPath(file string) (string, error) {
	a := assets[file]
	if a == nil {
		return "", fmt.Errorf("no asset %q", file)
	}
	return "/assets/" + a.name, nil
}

var assetPages = []Page{
	{"GET", "/assets/{name}", Anyone, "", nil, serveAsset},
}

func serveAsset(r *Request) (View, error) {
	a := assetsByName[r.PathValue("name")]
	if a == nil {
		return View{}, &Problem{Status: http.StatusNotFound, Title: "No file has this name", Detail: "Load the page again: a new version has files with new names.", Back: "/"}
	}
	return View{Raw: func(w http.ResponseWriter) {
		h := w.Header()
		h.Set("Content-Type", a.mediaType)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("Vary", "Accept-Encoding")
		body := a.body
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = a.zipped
		}
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body) // an error means that the client has gone
	}}, nil
}
