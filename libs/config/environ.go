package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

const (
	prefix = "SIGNRELAY_"
	// tests' own variables, such as SIGNRELAY_TEST_REDIS_URL, are not settings
	testPrefix = prefix + "TEST_"
)

// environment holds the SIGNRELAY_ variables that no setting has used yet. An empty variable counts as unset: compose files and manifests pass
// on unset variables in this form.
type environment map[string]string

func newEnvironment(environ []string) environment {
	e := environment{}
	for _, line := range environ {
		name, text, _ := strings.Cut(line, "=")
		if strings.HasPrefix(name, prefix) && !strings.HasPrefix(name, testPrefix) && text != "" {
			e[name] = text
		}
	}
	return e
}

func (e environment) take(name string) string {
	text := e[name]
	delete(e, name)
	return text
}

// apply sets the settings that the variables name: all is cfg's own settings, and each source in cfg has its variables too. A variable
// without a setting is a mistake.
func (e environment) apply(cfg *Config, all []setting) (mistakes []error) {
	names := []string{"SIGNRELAY_CONFIG"}
	offer := func(s setting, key, name string) {
		names = append(names, name)
		if s.file {
			names = append(names, name+"_FILE")
		}
		file, err := e.set(s, name)
		if err != nil {
			mistakes = append(mistakes, err)
		} else if file != nil && !s.once {
			file.key = key
			cfg.files = append(cfg.files, *file)
		}
	}

	for _, s := range all {
		offer(s, s.key, s.variable(prefix))
		if s.also != "" {
			offer(s, s.key, prefix+s.also)
		}
	}
	for i := range cfg.Sources {
		source := &cfg.Sources[i]
		below := prefix + "SOURCE_" + variablePart(source.Provider) + "_" + variablePart(source.Name) + "_"
		for _, s := range settings(source.tree()) {
			if s.key == "name" || s.key == "provider" {
				continue
			}
			name := s.variable(below)
			if s.unused && (e[name] != "" || e[name+"_FILE"] != "") {
				source.notUsed(s.key)
			}
			offer(s, sourceKey(i, s.key), name)
		}
	}

	left := make([]string, 0, len(e))
	for name := range e {
		left = append(left, name)
	}
	slices.Sort(left)
	for _, name := range left {
		hint := DidYouMean(name, names)
		base, isFile := strings.CutSuffix(name, "_FILE")
		switch {
		case hint != "":
		case isFile && slices.Contains(names, base):
			hint = "; only a secret comes from a file"
		case strings.HasPrefix(name, prefix+"SOURCE_"):
			hint = "; the file must name the source, by its name and provider"
		}
		mistakes = append(mistakes, fmt.Errorf("%s: no such setting%s", name, hint))
	}
	return mistakes
}

// set takes the setting from the variable, or from the file that the variable with _FILE names, and returns which one it was.
func (e environment) set(s setting, name string) (*fromFile, error) {
	text, separator, file := e.take(name), ",", (*fromFile)(nil)
	if s.file {
		path := e.take(name + "_FILE")
		switch {
		case path != "" && text != "":
			return nil, fmt.Errorf("%s and %s_FILE are both set: keep one", name, name)
		case path != "":
			var err error
			if text, err = readSetting(name+"_FILE", path); err != nil {
				return nil, err
			}
			separator, file = "\n", &fromFile{variable: name + "_FILE", path: path, text: text, seen: text}
		}
	}
	if text == "" {
		return nil, nil //nolint:nilnil // no variable is set
	}
	if err := s.set(text, separator); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return file, nil
}

// readSetting reads the file that a variable names.
func readSetting(variable, path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		// Without the path: the variable may contain the secret itself by mistake.
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return "", fmt.Errorf("%s: read the file that it names: %w", variable, err)
	}
	return clean(string(data)), nil
}
