package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
)

// Load reads the settings in the list: flags > environment > YAML file (--config, SIGNRELAY_CONFIG) > Default. Secrets have no flag. It
// returns the arguments after the flags. It returns all mistakes as one error with one line for each mistake. flag.ErrHelp means that -h was
// given. Load does not check the meaning of settings: see Check.
func Load(list []Declared, args, environ []string) (cfg Config, rest []string, err error) {
	return LoadWith(flag.NewFlagSet("signrelay", flag.ContinueOnError), list, args, environ)
}

// LoadWith works like Load, for a command with its own flags. fs contains them, and LoadWith adds the flags of the settings.
func LoadWith(fs *flag.FlagSet, list []Declared, args, environ []string) (cfg Config, rest []string, err error) {
	cfg = Default(list...)
	all := settings(cfg.tree())

	given := map[string]string{} // flags as given; they are applied last, because they take precedence
	var mistakes []error
	path := fs.String("config", "", "")
	for _, s := range all {
		note := func(text string) error {
			if s.secret == "true" || s.secret != "" && maskURL(text) != text {
				// The library would quote the value in an error of this function.
				mistakes = append(mistakes, s.noFlag())
				return nil
			}
			given[s.key] = text
			return nil
		}
		if s.value.Kind() == reflect.Bool {
			fs.BoolFunc(s.key, "", note)
		} else {
			fs.Func(s.key, "", note)
		}
	}
	fs.SetOutput(io.Discard)
	rest, err = parse(fs, args)
	if err != nil {
		return cfg, nil, unreadableError{errors.Join(append(mistakes, flagError(fs, all, err))...)}
	}

	variables := newEnvironment(environ)
	if fromEnviron := variables.take("SIGNRELAY_CONFIG"); *path == "" {
		*path = fromEnviron
	}
	if *path != "" {
		data, err := readFile(*path)
		if err != nil {
			return cfg, nil, unreadableError{errors.Join(append(mistakes, fmt.Errorf("--config: %w", err))...)}
		}
		wrong, err := readYAML(bytes.TrimPrefix(data, []byte("\ufeff")), &cfg)
		mistakes = append(mistakes, wrong...)
		if err != nil {
			return cfg, nil, unreadableError{errors.Join(append(mistakes, err)...)}
		}
	}

	mistakes = append(mistakes, variables.apply(&cfg, all)...)
	for _, s := range all {
		if text, ok := given[s.key]; ok {
			if err := s.set(text, ","); err != nil {
				mistakes = append(mistakes, fmt.Errorf("--%s: %w", s.key, err))
			}
			cfg.files = slices.DeleteFunc(cfg.files, func(f fromFile) bool { return f.key == s.key })
		}
	}

	for i := range cfg.Sources {
		cfg.Sources[i].fillDefaults()
	}
	// Paths are appended to these URLs, so they end without a slash.
	for _, s := range cfg.all() {
		if strings.HasSuffix(s.key, "_url") {
			s.value.SetString(strings.TrimRight(s.value.String(), "/"))
		}
	}
	return cfg, rest, errors.Join(mistakes...)
}

// unreadableError means that the flags or the file cannot be read, so the settings are unknown.
type unreadableError struct{ error }

func (e unreadableError) Unwrap() error { return e.error }

// Readable reports whether the settings that Load returned with an error can still be checked: its mistakes concern single settings.
func Readable(err error) bool {
	return !errors.As(err, new(unreadableError)) && !errors.Is(err, flag.ErrHelp)
}

// largestFile limits the settings file. One of 300 sources with everything set has half a megabyte.
const largestFile = 1 << 20

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, largestFile+1))
	if err == nil && len(data) > largestFile {
		err = fmt.Errorf("the file has more than %d bytes", largestFile)
	}
	return data, err
}

// noFlag explains how to set a secret: every user of a machine can read the flags of its processes.
func (s setting) noFlag() error {
	return fmt.Errorf("--%s: a secret is not taken from a flag, because other users can read it in the list of processes: set %s, or %[2]s_FILE to a file that holds it",
		s.key, s.variable(prefix))
}

// parse reads flags before and after the other arguments; after "--" nothing is a flag.
func parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		behind := fs.Args()
		if len(behind) == 0 {
			return rest, nil
		}
		if ended := len(args) - len(behind); ended > 0 && args[ended-1] == "--" {
			return append(rest, behind...), nil
		}
		rest, args = append(rest, behind[0]), behind[1:]
	}
}

// flagError suggests the nearest flag for an unknown one. It never suggests a secret.
func flagError(fs *flag.FlagSet, all []setting, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return err
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) {
		if !slices.ContainsFunc(all, func(s setting) bool { return s.key == f.Name && s.secret == "true" }) {
			names = append(names, "--"+f.Name)
		}
	})
	name = "--" + strings.TrimLeft(name, "-")
	return fmt.Errorf("%s: unknown flag%s", name, DidYouMean(name, names))
}

// Names lists every setting, and whether it is a text or may come from a file; settings of a source are sources.<setting>, for any
// source.
func Names(w io.Writer, declared []Declared) {
	write := func(above string, of reflect.Value) {
		for _, s := range settings(of) {
			kind := "text"
			if s.file {
				kind = "file"
			}
			fmt.Fprintf(w, "%s%s: %s\n", above, s.key, kind)
		}
	}
	cfg := Default(declared...)
	write("sources.", reflect.New(cfg.layouts()[""].tree).Elem())
	write("", cfg.tree())
}

// Usage lists every flag with its variable and its default.
func Usage(w io.Writer, list []Declared) error {
	cfg := Default(list...)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "flag\tvariable\tdefault")
	fmt.Fprintln(table, "--config\tSIGNRELAY_CONFIG\t")
	for _, s := range settings(cfg.tree()) {
		variable := s.variable(prefix)
		if s.file {
			variable += "[_FILE]"
		}
		name := "--" + s.key
		if s.secret == "true" {
			name = "(" + s.key + ": no flag)"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", name, variable, s.text())
	}
	fmt.Fprintln(table, "(sources: in the file)\tSIGNRELAY_SOURCE_<PROVIDER>_<NAME>_<KEY>\t")
	return table.Flush()
}
