// Writes what the functions say that Prometheus' HTTP API calls for its parameters.
//
//	go run crates/promql/tests/golden/api.go <crates/promql/tests/golden/api.tsv >new.tsv && mv new.tsv crates/promql/tests/golden/api.tsv
//
// Run it in a module that requires github.com/prometheus/prometheus v0.315.0. A row has fields that are separated by
// tabs. The first says what the second is:
//
//   - "duration": a text for ParseDuration; the row continues with "ok" and nanoseconds, or "error" and its text;
//   - "selector": a text for ParseMetricSelector; the row continues with "ok" and the conditions, or "error" and its
//     text;
//   - "annotations": the number of warnings, of infos, and the limits of both; the row continues with the last text
//     of the warnings and of the infos, each after their number; "-" if it is an annotation.
//
// New rows may end after the second field. In fields, %09 stands for a tab and so on; lines that start with "# " are
// comments.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/util/annotations"
)

func main() {
	rows := bufio.NewScanner(os.Stdin)
	rows.Buffer(nil, 1<<20)
	for rows.Scan() {
		if strings.HasPrefix(rows.Text(), "# ") {
			fmt.Println(rows.Text())
			continue
		}
		fields := strings.Split(rows.Text(), "\t")
		text, err := url.PathUnescape(fields[1])
		if err != nil {
			log.Fatal(err)
		}
		result := append([]string{fields[0], escaped(text)}, results(fields[0], text)...)
		fmt.Println(strings.Join(result, "\t"))
	}
	if err := rows.Err(); err != nil {
		log.Fatal(err)
	}
}

func results(kind, text string) []string {
	switch kind {
	case "duration":
		duration, err := model.ParseDuration(text)
		if err != nil {
			return []string{"error", escaped(err.Error())}
		}
		return []string{"ok", fmt.Sprint(int64(duration))}
	case "selector":
		matchers, err := parser.NewParser(parser.Options{}).ParseMetricSelector(text)
		if err != nil {
			return []string{"error", escaped(err.Error())}
		}
		var texts []string
		for _, matcher := range matchers {
			texts = append(texts, matcher.String())
		}
		return []string{"ok", escaped(strings.Join(texts, ","))}
	case "annotations":
		var warnings, infos, maxWarnings, maxInfos int
		if _, err := fmt.Sscan(text, &warnings, &infos, &maxWarnings, &maxInfos); err != nil {
			log.Fatal(err)
		}
		var all annotations.Annotations
		for i := range warnings {
			all.Add(annotations.NewInvalidQuantileWarning(float64(i+2), posrange.PositionRange{Start: 0, End: 1}))
		}
		for i := range infos {
			metric := fmt.Sprintf("m%d", i)
			all.Add(annotations.NewPossibleNonCounterInfo(metric, posrange.PositionRange{Start: 0, End: 1}))
		}
		return last(all.AsStrings("m", maxWarnings, maxInfos))
	}
	log.Fatalf("no such kind: %q", kind)
	return nil
}

// last returns the lengths of two lists and their last elements, if these do not depend on an order.
func last(warnings, infos []string) []string {
	var result []string
	for _, all := range [][]string{warnings, infos} {
		text := "-"
		if n := len(all); n > 0 && strings.HasSuffix(all[n-1], "omitted") {
			text = all[n-1]
		}
		result = append(result, fmt.Sprint(len(all)), text)
	}
	return result
}

// escaped writes bytes that would break a row, and those that are not UTF-8, as %XX.
func escaped(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if r < ' ' || r == '%' || r == 0x7f || r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, "%%%02X", text[0])
		} else {
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}
