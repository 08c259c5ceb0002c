// Writes what Prometheus' parser says about queries into the rows of a table.
//
//	go run crates/promql/tests/golden/queries.go <crates/promql/tests/golden/queries.tsv >new.tsv && mv new.tsv crates/promql/tests/golden/queries.tsv
//
// Run it in a module that requires github.com/prometheus/prometheus v0.315.0. A row has fields
// that are separated by tabs: the switches that are on ("all", "default", "none"), the query, and
//
//   - "ok", the type of the value, String() and Pretty(), if the query is accepted;
//   - "error" and its text, if it is rejected.
//
// New rows may end after the query. In fields, %09 stands for a tab and so on; lines that start with
// "# " are comments.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/prometheus/promql/parser"
)

var switches = map[string]parser.Options{
	"all": {
		EnableExperimentalFunctions:  true,
		ExperimentalDurationExpr:     true,
		EnableExtendedRangeSelectors: true,
		EnableBinopFillModifiers:     true,
	},
	"default": {ExperimentalDurationExpr: true},
	"none":    {},
}

func main() {
	rows := bufio.NewScanner(os.Stdin)
	rows.Buffer(nil, 1<<20)
	for rows.Scan() {
		if strings.HasPrefix(rows.Text(), "# ") {
			fmt.Println(rows.Text())
			continue
		}
		fields := strings.Split(rows.Text(), "\t")
		options, ok := switches[fields[0]]
		if !ok || len(fields) < 2 {
			log.Fatalf("neither switches nor query: %q", rows.Text())
		}
		query, err := url.PathUnescape(fields[1])
		if err != nil {
			log.Fatal(err)
		}
		result := []string{fields[0], escaped(query)}
		expr, err := parser.NewParser(options).ParseExpr(query)
		if err != nil {
			result = append(result, "error", escaped(err.Error()))
		} else {
			result = append(result, "ok", string(expr.Type()), escaped(expr.String()), escaped(parser.Prettify(expr)))
		}
		fmt.Println(strings.Join(result, "\t"))
	}
	if err := rows.Err(); err != nil {
		log.Fatal(err)
	}
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
