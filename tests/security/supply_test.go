package security

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/tests/testenv"
)

// The Vonage SDK requires golang-jwt v3, whose parser has a known weakness (GO-2025-3553) and no fixed version. The linker omits code that
// is never called, such as this parser.
func TestNoProgramParsesTokens(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sms-sender", "signrelay"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			symbols, err := exec.CommandContext(t.Context(), "go", "tool", "nm", testenv.Program(t, name)).Output()
			if err != nil {
				t.Fatal(err)
			}
			const jwt = "github.com/golang-jwt/jwt."
			if !bytes.Contains(symbols, []byte(jwt)) || !bytes.Contains(symbols, []byte("github.com/vonage/vonage-go-sdk.")) {
				t.Error("neither the SDK nor golang-jwt is in the program, so this test checks nothing")
			}
			for _, part := range []string{"(*Parser)", "Parse", "DecodeSegment"} {
				if bytes.Contains(symbols, []byte(jwt+part)) {
					t.Errorf("%s%s is in the program", jwt, part)
				}
			}
		})
	}
}

// Images and actions are pinned by digest: the owner of a tag, or an attacker, can move it.
func TestBuildInputsArePinnedByDigest(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(testenv.Root(), name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	// We have no public record of the digests of these images; .env takes a digest for each.
	unknown := map[string]bool{"nats:2.15.2-alpine": true, "apache/kafka:4.4.0": true}

	undigested := func(image string) bool { return !byDigest(image) && !unknown[image] }
	for name, images := range map[string]func(text string) []string{
		"Dockerfile":                      foreign,
		"docker-compose.yml":              composed,
		"deployments/compose/cluster.yml": composed,
		".env.example":                    func(text string) []string { return matches(text, `(?m)^#? ?\w+_IMAGE=(\S+)`) },
		".github/workflows/release.yml":   func(text string) []string { return matches(text, `(?m)uses: (\S+)`) },
	} {
		text := read(name)
		if len(images(text)) == 0 {
			t.Errorf("%s: found no image or action", name)
		}
		for _, image := range images(text) {
			if undigested(image) {
				t.Errorf("%s: %s has no digest", name, image)
			}
		}
		// The check detects that each of these digests is missing.
		digests := regexp.MustCompile(`@(sha256:[0-9a-f]{64}|[0-9a-f]{40})`).FindAllStringIndex(text, -1)
		for _, at := range digests {
			if !slices.ContainsFunc(images(text[:at[0]]+":moved"+text[at[1]:]), undigested) {
				t.Errorf("%s: the check does not detect that %s is missing", name, text[at[0]:at[1]])
			}
		}
	}

	for image, want := range map[string]bool{
		"golang:1.26.8-bookworm": false, "golang:1.26.8@sha256:abc": false, "golang@sha256:" + strings.Repeat("0a", 32): true,
		"actions/checkout@v7": false, "actions/checkout@" + strings.Repeat("0a", 20): true, "golang:latest": false,
	} {
		if byDigest(image) != want {
			t.Errorf("%s: pinned by digest: %v", image, !want)
		}
	}
	if got := foreign("ARG A=x:1\nFROM ${A} AS build\nFROM scratch AS image\nFROM image\nFROM y:2\nCOPY --from=z:3 /a /b\nCOPY --from=build /a /b\n# syntax=d:1\n"); strings.Join(got, " ") != "x:1 y:2 z:3 d:1" {
		t.Errorf("images of a Dockerfile: %v", got)
	}
}

// The Dockerfile and the Makefile build with the same version of Go and the same script, so a program is the same file in an image and in an archive.
func TestImagesAndReleasesAreBuiltAlike(t *testing.T) {
	t.Parallel()
	var found []string
	for name, pattern := range map[string]string{"Dockerfile": `(?m)^ARG GO_RELEASE=(\S+)`, "Makefile": `(?m)^GO_RELEASE +:= (\S+)`} {
		text, err := os.ReadFile(filepath.Join(testenv.Root(), name))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, matches(string(text), pattern)...)
		if name == "Dockerfile" && (!bytes.Contains(text, []byte(" .ci/build /src /out ")) || bytes.Contains(text, []byte("go build"))) {
			t.Error("the Dockerfile does not use the script")
		}
	}
	if len(found) != 2 || found[0] != found[1] {
		t.Errorf("got %v", found)
	}
}

// The workflow names the tag that started it.
func TestReleaseHasTheGivenVersion(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "make", "--dry-run", "images")
	cmd.Dir, cmd.Env = testenv.Root(), append(os.Environ(), "VERSION=v9.8.7-two-tags")
	output, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(output, []byte("--build-arg VERSION=v9.8.7-two-tags ")) {
		t.Errorf("%v: %s", err, output)
	}
}

func composed(text string) []string { return matches(text, `(?m)image: \$\{\w+_IMAGE:-([^}]*)\}`) }

func byDigest(name string) bool {
	return regexp.MustCompile(`@(sha256:[0-9a-f]{64}|[0-9a-f]{40})$`).MatchString(name)
}

func matches(text, pattern string) []string {
	var out []string
	for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		out = append(out, found[1])
	}
	return out
}

// foreign lists the images in a Dockerfile that others publish.
func foreign(dockerfile string) []string {
	own := map[string]bool{"scratch": true, "${SERVICE}": true}
	for _, stage := range matches(dockerfile, `(?m)^FROM \S+ AS (\S+)`) {
		own[stage] = true
	}
	var out []string
	add := func(pattern string) {
		for _, name := range matches(dockerfile, pattern) {
			if own[name] {
				continue
			}
			if variable := matches(name, `^\$\{(\w+)\}$`); variable != nil {
				if value := matches(dockerfile, `(?m)^ARG `+variable[0]+`=(\S+)`); value != nil {
					name = value[0]
				}
			}
			out = append(out, name)
		}
	}
	add(`(?m)^FROM (?:--\S+ )*(\S+)`)
	add(`--from=(\S+)`)
	add(`(?m)^# ?syntax=(\S+)`)
	return out
}
