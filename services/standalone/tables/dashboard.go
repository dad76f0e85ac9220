package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/signrelay/signrelay/libs/flow"
)

// gridWidth is the width of a Grafana dashboard.
const gridWidth = 24

var (
	panelText  = regexp.MustCompile(`(?ms)^  \{\n   "id": ([0-9]+),\n.*?^  \}`)
	panelTitle = regexp.MustCompile(`(?m)^   "title": "([^"]*)",$`)
	panelID    = regexp.MustCompile(`(?m)^   "id": [0-9]+,$`)
	panelX     = regexp.MustCompile(`(?m)^    "x": [0-9]+,$`)
	panelWidth = regexp.MustCompile(`(?m)^    "w": [0-9]+,$`)
	stagePanel = regexp.MustCompile(`^(.+): (in|out|lag|errors|time)$`)
)

// dashboard gives each stage without panels the five panels that all stages have, removes the panels of stages that do not exist any more, and
// places the columns in the order of the flow. Existing panels keep their queries.
func dashboard(old string, producer string, stages []flow.Stage) (string, error) {
	const like = flow.Shortener // its panels use only the metrics that all stages have
	found := panelText.FindAllStringIndex(old, -1)
	if len(found) == 0 {
		return "", errors.New("want panels in it")
	}
	var panels []string
	last := 0 // the highest id
	for _, at := range found {
		panels = append(panels, old[at[0]:at[1]])
		id, err := strconv.Atoi(panelText.FindStringSubmatch(old[at[0]:at[1]])[1])
		if err != nil {
			return "", err
		}
		last = max(last, id)
	}
	titled := func(title string) int {
		return slices.IndexFunc(panels, func(p string) bool { return panelTitle.FindStringSubmatch(p)[1] == title })
	}
	columns := []string{producer}
	for _, s := range stages {
		before := columns[len(columns)-1]
		columns = append(columns, s.Name)
		if titled(s.Name+": in") >= 0 {
			continue
		}
		var own []string
		for _, what := range []string{"in", "out", "lag", "errors", "time"} {
			of := map[string]string{"out": "in"}[what]
			if of == "" {
				of = what
			}
			i := titled(like + ": " + of)
			if i < 0 {
				return "", fmt.Errorf("want a panel %q", like+": "+of)
			}
			last++
			p := strings.NewReplacer(`"`+like+": "+of+`"`, `"`+s.Name+": "+what+`"`, `stage=\"`+like+`\"`, `stage=\"`+s.Name+`\"`).Replace(panels[i])
			if what == "out" {
				p = strings.NewReplacer("sum by (outcome) ", "sum", `stage=\"`+s.Name+`\"`, `stage=\"`+s.Name+`\", outcome=\"done\"`, "{{outcome}}", "inputs",
					"Attempts per second, by outcome; a retry is attempted again.", "Completed inputs per second.").Replace(p)
				p = regexp.MustCompile(`(?m)^    "y": [0-9]+,$`).ReplaceAllString(p, regexp.MustCompile(`(?m)^    "y": [0-9]+,$`).FindString(panels[titled(like+": out")]))
			}
			own = append(own, panelID.ReplaceAllString(p, fmt.Sprintf(`   "id": %d,`, last)))
		}
		panels = slices.Insert(panels, titled(before+": time")+1, own...)
	}
	panels = slices.DeleteFunc(panels, func(p string) bool {
		of := stagePanel.FindStringSubmatch(panelTitle.FindStringSubmatch(p)[1])
		return of != nil && !slices.Contains(columns, of[1])
	})
	for i, p := range panels {
		name, _, _ := strings.Cut(panelTitle.FindStringSubmatch(p)[1], ": ")
		if column := slices.Index(columns, name); column >= 0 {
			width := gridWidth / len(columns)
			p = panelX.ReplaceAllString(p, fmt.Sprintf(`    "x": %d,`, column*width))
			panels[i] = panelWidth.ReplaceAllString(p, fmt.Sprintf(`    "w": %d,`, width))
		}
	}
	return old[:found[0][0]] + strings.Join(panels, ",\n") + old[found[len(found)-1][1]:], nil
}
