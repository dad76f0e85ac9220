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

// Load reads the settings: flags > environment > YAML file (--config, SIGNRELAY_CONFIG) > Default. It returns the
// arguments behind the flags. All mistakes come back as one error of one line each; flag.ErrHelp means that -h was
// given. What the settings mean is not judged here: see Check.
func Load(args, environ []string) (cfg Config, rest []string, err error) {
	return LoadWith(flag.NewFlagSet("signrelay", flag.ContinueOnError), args, environ)
}

// LoadWith is Load for a command that has flags of its own: fs holds them already, and gets those of the settings.
func LoadWith(fs *flag.FlagSet, args, environ []string) (cfg Config, rest []string, err error) {
	cfg = Default()
	all := settings(reflect.ValueOf(&cfg).Elem())

	given := map[string]string{} // flags as they were written; they are read last, because they win
	path := fs.String("config", "", "")
	for _, s := range all {
		note := func(text string) error {
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
		return cfg, nil, flagError(fs, err)
	}

	variables := newEnvironment(environ)
	if fromEnviron := variables.take("SIGNRELAY_CONFIG"); *path == "" {
		*path = fromEnviron
	}
	var mistakes []error
	if *path != "" {
		data, err := os.ReadFile(*path)
		if err != nil {
			return cfg, nil, fmt.Errorf("--config: %w", err)
		}
		mistakes = append(mistakes, readYAML(bytes.TrimPrefix(data, []byte("\ufeff")), &cfg)...)
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
		cfg.Sources[i] = cfg.Sources[i].withDefaults()
	}
	cfg.Shortener.PublicURL = strings.TrimRight(cfg.Shortener.PublicURL, "/")
	cfg.SMS.Vonage.ReceiptsURL = strings.TrimRight(cfg.SMS.Vonage.ReceiptsURL, "/")
	cfg.Sandbox.IngestURL = strings.TrimRight(cfg.Sandbox.IngestURL, "/")
	return cfg, rest, errors.Join(mistakes...)
}

// parse reads flags wherever they stand, before and behind the other arguments; behind "--" nothing is a flag.
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

// flagError adds to an unknown flag what was probably meant.
func flagError(fs *flag.FlagSet, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return err
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, "--"+f.Name) })
	name = "--" + strings.TrimLeft(name, "-")
	return fmt.Errorf("%s: unknown flag%s", name, DidYouMean(name, names))
}

// Names lists every setting, and whether it is a text or may come from a file; a source's are sources.<setting>, whichever source it
// is.
func Names(w io.Writer) {
	list := func(above string, of any) {
		for _, s := range settings(reflect.ValueOf(of).Elem()) {
			kind := "text"
			if s.file {
				kind = "file"
			}
			fmt.Fprintf(w, "%s%s: %s\n", above, s.key, kind)
		}
	}
	list("sources.", new(Source))
	list("", new(Config))
}

// Usage lists every flag with its variable and its default.
func Usage(w io.Writer) error {
	cfg := Default()
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "flag\tvariable\tdefault")
	fmt.Fprintln(table, "--config\tSIGNRELAY_CONFIG\t")
	for _, s := range settings(reflect.ValueOf(&cfg).Elem()) {
		variable := s.variable(prefix)
		if s.file {
			variable += "[_FILE]"
		}
		fmt.Fprintf(table, "--%s\t%s\t%s\n", s.key, variable, s.text())
	}
	fmt.Fprintln(table, "(sources: in the file)\tSIGNRELAY_SOURCE_<PROVIDER>_<NAME>_<KEY>\t")
	return table.Flush()
}
