// Command tables writes the parts of the deployments that list services, from the services' declarations.
//
//	go run ./services/standalone/tables -root .
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sections"
	"github.com/signrelay/signrelay/services/standalone"
)

func main() {
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	if err := write(*root, standalone.Services); err != nil {
		fmt.Fprintln(os.Stderr, "tables:", err)
		os.Exit(1)
	}
}

// write writes all tables below the root folder.
func write(root string, services []service.Service) error {
	files := map[string]func(was string) (string, error){
		"deployments/helm/signrelay/files/services.yaml": whole(chart(services)),
		"deployments/helm/signrelay/values.schema.json": func(was string) (string, error) {
			is, err := schema(was, services)
			if err != nil {
				return "", err
			}
			return settingsSchema(is, sections.All)
		},
		"deployments/grafana/signrelay.json":    func(was string) (string, error) { return dashboard(was, ingest(), flow.Stages) },
		"docs/operate.md":                       func(was string) (string, error) { return units(was, services, sections.All) },
		"deployments/prometheus/prometheus.yml": func(was string) (string, error) { return scraped(was, services) },
		"docker-compose.yml":                    blocks(map[string]string{"nats": composeNATS("      ", services), "redis": composeRedis(services), "hosts": hosts(services)}),
		"deployments/compose/cluster.yml":       blocks(map[string]string{"nats": composeNATS("  ", services)}),
		"Dockerfile":                            blocks(map[string]string{"stages": stages(services)}),
		".env.example":                          blocks(map[string]string{"nats": envNATS(services), "redis": envRedis(services)}),
	}
	for i, s := range services {
		files["deployments/systemd/signrelay-"+s.Name+".service"] = whole(unit(s, i))
	}
	var errs []error
	for name, table := range files {
		errs = append(errs, rewrite(filepath.Join(root, name), table))
	}
	return errors.Join(errs...)
}

// ingest returns the name of the service that receives the providers' callbacks.
func ingest() string {
	i := slices.IndexFunc(flow.Producers, func(p flow.Producer) bool { return p.Receives != "" })
	return flow.Producers[i].Name
}

func rewrite(path string, table func(was string) (string, error)) error {
	was, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	is, err := table(string(was))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if is == string(was) {
		return nil
	}
	return os.WriteFile(path, []byte(is), 0o644) //nolint:gosec // it is a file of the repository
}

func whole(text string) func(string) (string, error) {
	return func(string) (string, error) { return text, nil }
}

// blocks replaces the text between "# <services: name>" and "# </services: name>".
func blocks(byName map[string]string) func(string) (string, error) {
	return func(was string) (string, error) {
		for name, text := range byName {
			block := regexp.MustCompile(`(?s)(# <services: ` + name + `>[^\n]*\n).*?([ ]*# </services: ` + name + `>)`)
			if len(block.FindAllString(was, -1)) != 1 {
				return "", fmt.Errorf("want one block between # <services: %s> and # </services: %[1]s>", name)
			}
			was = block.ReplaceAllStringFunc(was, func(found string) string {
				parts := block.FindStringSubmatch(found)
				return parts[1] + text + parts[2]
			})
		}
		return was, nil
	}
}

func having(services []service.Service, is func(service.Service) bool) (names []string) {
	for _, s := range services {
		if is(s) {
			names = append(names, s.Name)
		}
	}
	return names
}

func calls(p service.Party) func(service.Service) bool {
	return func(s service.Service) bool { return slices.Contains(s.Calls, p) }
}

func composeNATS(indent string, services []service.Service) string {
	var b strings.Builder
	for _, name := range having(services, calls(service.NATS)) {
		fmt.Fprintf(&b, "%s%s: ${%[2]s:-not-a-secret}\n", indent, flow.Password(name))
	}
	return b.String()
}

func composeRedis(services []service.Service) string {
	var b strings.Builder
	for _, name := range having(services, calls(service.Redis)) {
		fmt.Fprintf(&b, "      %s: ${%[1]s:-${REDIS_PASSWORD:-not-a-secret}}\n", flow.RedisPassword(name))
	}
	return b.String()
}

func hosts(services []service.Service) string {
	return "  SIGNRELAY_ADMIN_HOSTS: " + strings.Join(having(services, func(service.Service) bool { return true }), ",") + "\n"
}

// stages returns the Dockerfile's stages: an image for each service.
func stages(services []service.Service) string {
	var b strings.Builder
	for _, s := range services {
		fmt.Fprintf(&b, "FROM image AS %s\n", s.Name)
		if len(s.Listeners) > 0 {
			b.WriteString("EXPOSE")
			for _, l := range s.Listeners {
				fmt.Fprintf(&b, " %d", l.Port)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func envNATS(services []service.Service) string {
	var b strings.Builder
	for _, name := range having(services, calls(service.NATS)) {
		fmt.Fprintf(&b, "%s=not-a-secret\n", flow.Password(name))
	}
	return b.String()
}

func envRedis(services []service.Service) string {
	var b strings.Builder
	for _, name := range having(services, calls(service.Redis)) {
		fmt.Fprintf(&b, "%s=not-a-secret\n", flow.RedisPassword(name))
	}
	return b.String()
}

// scraped lists the services in Prometheus' discovery, without the sandbox, because it is for trials and needs no alerts.
func scraped(was string, services []service.Service) (string, error) {
	line := regexp.MustCompile(`(?m)^( *- names: )\[[^\]]*\]$`)
	if len(line.FindAllString(was, -1)) != 1 {
		return "", errors.New("want one line with names: [...]")
	}
	names := having(services, func(s service.Service) bool { return !s.DemoOnly })
	return line.ReplaceAllString(was, "${1}["+strings.Join(names, ", ")+"]"), nil
}
