// Prints the results of Prometheus' parser for the cases of this folder. It is a program of Prometheus' module; run
// it in Prometheus' source tree:
//
//	cp FOLDER/prometheus.go cmd/read.go && go run cmd/read.go FOLDER >new.txt && mv new.txt FOLDER/prometheus.txt
//
// It also rejects what Prometheus' scraper rejects after parsing: duplicate labels and series without a name.
package main

import (
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

func main() {
	files := [][2]string{
		{"text.txt", "text/plain"},
		{"openmetrics.txt", "application/openmetrics-text"},
	}
	for _, file := range files {
		fmt.Printf("### %s\n", file[0])
		text, err := os.ReadFile(filepath.Join(os.Args[1], file[0]))
		if err != nil {
			log.Fatal(err)
		}
		title, body := "", []byte(nil)
		flush := func() {
			if title == "" {
				return
			}
			fmt.Printf("--- %s\n", title)
			for _, line := range read(body, file[1]) {
				fmt.Println(line)
			}
			body = nil
		}
		for _, line := range strings.Split(string(text), "\n") {
			switch {
			case strings.HasPrefix(line, "--- "):
				flush()
				title = line[4:]
			case title == "":
			case strings.HasPrefix(line, "|"):
				body = append(append(body, bytesOf(line[1:])...), '\n')
			case strings.HasPrefix(line, "!"):
				body = append(body, bytesOf(line[1:])...)
			}
		}
		flush()
	}
}

func bytesOf(line string) []byte {
	parts := strings.Split(line, "‹")
	bytes := []byte(parts[0])
	for _, part := range parts[1:] {
		digits, rest, _ := strings.Cut(part, "›")
		number, err := strconv.ParseUint(digits, 16, 8)
		if err != nil {
			log.Fatal(err)
		}
		bytes = append(append(bytes, byte(number)), rest...)
	}
	return bytes
}

type family struct {
	kind       model.MetricType
	help, unit string
}

func read(body []byte, contentType string) (lines []string) {
	defer func() {
		if recovered := recover(); recovered != nil {
			lines = []string{"x"}
		}
	}()
	if len(body) == 0 && contentType == "text/plain" {
		return nil
	}
	parser, err := textparse.New(body, contentType, nil, textparse.ParserOptions{})
	if err != nil {
		log.Fatal(err)
	}
	families := map[string]*family{}
	of := func(name []byte) *family {
		found := families[string(name)]
		if found == nil {
			found = &family{kind: model.MetricTypeUnknown}
			families[string(name)] = found
		}
		return found
	}
	for {
		entry, err := parser.Next()
		if err != nil {
			if err.Error() == "EOF" {
				break
			}
			return []string{"x"}
		}
		switch entry {
		case textparse.EntryHelp:
			name, help := parser.Help()
			of(name).help = string(help)
		case textparse.EntryType:
			name, kind := parser.Type()
			of(name).kind = kind
		case textparse.EntryUnit:
			name, unit := parser.Unit()
			of(name).unit = string(unit)
		case textparse.EntrySeries:
			_, timestamp, value := parser.Series()
			var all labels.Labels
			parser.Labels(&all)
			all = labels.NewBuilder(all).Labels()
			if _, repeated := all.HasDuplicateLabelNames(); repeated || !all.Has(model.MetricNameLabel) || !all.IsValid(model.UTF8Validation) {
				return []string{"x"}
			}
			name := all.Get(model.MetricNameLabel)
			all = labels.NewBuilder(all).Del(model.MetricNameLabel).Labels()
			line := fmt.Sprintf("= %s%s %s", quoted(name), braces(all), number(value))
			if timestamp != nil {
				line += fmt.Sprintf(" @ %d", *timestamp)
			}
			var found exemplar.Exemplar
			if parser.Exemplar(&found) {
				line += fmt.Sprintf(" # %s %s", braces(found.Labels), number(found.Value))
				if found.HasTs {
					line += fmt.Sprintf(" @ %d", found.Ts)
				}
			}
			lines = append(lines, line)
		}
	}
	names := []string{}
	for name := range families {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		it := families[name]
		lines = append(lines, fmt.Sprintf("~ %s %s %s %s", quoted(name), it.kind, quoted(it.help), quoted(it.unit)))
	}
	return lines
}

func braces(all labels.Labels) string {
	texts := []string{}
	all.Range(func(label labels.Label) {
		texts = append(texts, quoted(label.Name)+"="+quoted(label.Value))
	})
	return "{" + strings.Join(texts, ",") + "}"
}

func number(value float64) string {
	if value == 0 && math.Signbit(value) {
		return "-0.0"
	}
	return labels.FormatOpenMetricsFloat(value)
}

func quoted(text string) string {
	quoted := `"`
	for _, character := range text {
		switch {
		case character == '"' || character == '\\':
			quoted += `\` + string(character)
		case character == '\n':
			quoted += `\n`
		case character < ' ':
			quoted += fmt.Sprintf("‹%02x›", character)
		default:
			quoted += string(character)
		}
	}
	return quoted + `"`
}
