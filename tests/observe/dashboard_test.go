package observe_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/flow"
)

type dashboard struct {
	Title         string  `json:"title"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []struct {
			Name       string `json:"name"`
			Type       string `json:"type"`
			Definition string `json:"definition"`
			Multi      bool   `json:"multi"`
			IncludeAll bool   `json:"includeAll"`
		} `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID    int    `json:"id"`
	Type  string `json:"type"`
	Title string `json:"title"`
	Grid  struct {
		X int `json:"x"`
		Y int `json:"y"`
		W int `json:"w"`
		H int `json:"h"`
	} `json:"gridPos"`
	Datasource datasource `json:"datasource"`
	Targets    []struct {
		RefID      string     `json:"refId"`
		Expr       string     `json:"expr"`
		Datasource datasource `json:"datasource"`
	} `json:"targets"`
}

type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

func board(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal(read(t, "deployments", "grafana", "signrelay.json"), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDashboardCanBeImported(t *testing.T) {
	t.Parallel()
	d := board(t)
	if d.Title == "" || d.SchemaVersion < 36 {
		t.Errorf("title %q, schemaVersion %d", d.Title, d.SchemaVersion)
	}
	core := []string{"row", "stat", "timeseries", "table"} // data sources that are part of Grafana
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		if !slices.Contains(core, p.Type) {
			t.Errorf("%s is a %s", p.Title, p.Type)
		}
		if p.Grid.X < 0 || p.Grid.W < 1 || p.Grid.H < 1 || p.Grid.X+p.Grid.W > 24 {
			t.Errorf("%s is at %+v", p.Title, p.Grid)
		}
		for x := p.Grid.X; x < p.Grid.X+p.Grid.W; x++ {
			for y := p.Grid.Y; y < p.Grid.Y+p.Grid.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Errorf("%s and %s overlap at %d, %d", other, p.Title, x, y)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && (p.Datasource.UID != "${datasource}" || len(p.Targets) == 0) {
			t.Errorf("%s has no query", p.Title)
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if target.Expr == "" || target.Datasource != p.Datasource || refs[target.RefID] {
				t.Errorf("%s: %+v", p.Title, target)
			}
			refs[target.RefID] = true
		}
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if one := v.Name == "namespace" || v.Name == "job"; one && (v.Multi || v.IncludeAll) {
			t.Errorf("%s combines several installations", v.Name)
		}
	}
	if !slices.Equal(variables, []string{"datasource", "namespace", "job", "source", "provider"}) {
		t.Errorf("variables %v", variables)
	}
}

// The flow goes from left to right, and each column has the same five panels from top to bottom.
func TestDashboardShowsTheFlow(t *testing.T) {
	t.Parallel()
	d := board(t)
	columns := []string{"ingest"}
	for _, s := range flow.Stages {
		columns = append(columns, s.Name)
	}
	x := -1
	for _, name := range columns {
		var column []panel
		for _, p := range d.Panels {
			if strings.HasPrefix(p.Title, name+": ") {
				column = append(column, p)
			}
		}
		if len(column) != 5 {
			t.Errorf("%s has %d panels", name, len(column))
			continue
		}
		slices.SortFunc(column, func(a, b panel) int { return a.Grid.Y - b.Grid.Y })
		var output []string
		for _, p := range column {
			_, what, _ := strings.Cut(p.Title, ": ")
			output = append(output, what)
			if p.Grid.X != column[0].Grid.X {
				t.Errorf("%s is outside its column", p.Title)
			}
		}
		if want := []string{"in", "out", "lag", "errors", "time"}; name != "ingest" && !slices.Equal(output, want) {
			t.Errorf("%s shows %v", name, output)
		}
		if column[0].Grid.X <= x {
			t.Errorf("%s is left of a stage that comes before it", name)
		}
		x = column[0].Grid.X
	}
}

// The dashboard shows one installation at a time, because combined figures of two installations hide an outage of one.
func TestDashboardShowsOneInstallation(t *testing.T) {
	t.Parallel()
	const one = `{namespace="$namespace", job="$job"`
	metric := regexp.MustCompile(`\b(?:signrelay_[a-z0-9_]+|process_[a-z_]+|ALERTS)\b(\{[^}]*\})?`)
	d := board(t)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			for _, found := range metric.FindAllStringSubmatch(target.Expr, -1) {
				if !strings.HasPrefix(found[1], one) {
					t.Errorf("%v reads %s of every installation", p, found[0])
				}
			}
		}
	}
	for _, v := range d.Templating.List {
		if (v.Name == "source" || v.Name == "provider") && !strings.Contains(v.Definition, one) {
			t.Errorf("$%s offers values of every installation: %s", v.Name, v.Definition)
		}
	}
}

// queries returns the panel's queries with all sources and providers selected, for an installation outside Kubernetes.
func (p panel) queries() (all []string) {
	for _, target := range p.Targets {
		all = append(all, strings.NewReplacer("$__rate_interval", "5m", "$source", ".*", "$provider", ".*", "$namespace", "", "$job", "signrelay").Replace(target.Expr))
	}
	return all
}

func (p panel) String() string { return fmt.Sprintf("panel %d, %q", p.ID, p.Title) }
