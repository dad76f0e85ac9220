package main

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"io"
	"strings"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
)

// sbom writes the program's parts as CycloneDX 1.6. It has neither a time nor a serial number, so the same program gives the same SBOM.
func sbom(w io.Writer, program, version string, info *buildinfo.BuildInfo, modules []module) error {
	root := cyclonedx.Component{
		BOMRef: program, Type: cyclonedx.ComponentTypeApplication, Name: program, Version: version,
		PackageURL: "pkg:golang/" + info.Main.Path + "@" + version,
	}
	components, refs := make([]cyclonedx.Component, 0, len(modules)), make([]string, 0, len(modules))
	for _, m := range modules {
		url := "pkg:golang/" + strings.ReplaceAll(m.path, "+", "%2B") + "@" + strings.ReplaceAll(m.version, "+", "%2B")
		c := cyclonedx.Component{
			BOMRef: url, Type: cyclonedx.ComponentTypeLibrary, Name: m.path, Version: m.version, PackageURL: url,
			Licenses: &cyclonedx.Licenses{{Expression: m.licence}},
		}
		// A module's sum is h1: and the base64 of a SHA-256.
		if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.sum, "h1:")); err == nil && len(sum) == 32 {
			c.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
		}
		components, refs = append(components, c), append(refs, url)
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Component: &root}
	bom.Components = &components
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: program, Dependencies: &refs}}
	return cyclonedx.NewBOMEncoder(w, cyclonedx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cyclonedx.SpecVersion1_6)
}
