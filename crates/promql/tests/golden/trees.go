// Writes the trees of the queries that Prometheus accepts: the JSON of its API, and the conditions of all selectors.
//
//	go run crates/promql/tests/golden/trees.go <crates/promql/tests/golden/queries.tsv >crates/promql/tests/golden/trees.tsv
//
// Run it in a module that requires github.com/prometheus/prometheus v0.315.0. The output has one row for each row of
// the input with the result "ok", with fields that are separated by tabs: the "data" of a response of
// /api/v1/parse_query, or "error" and the reason for which there is none, then the selectors as ExtractSelectors has
// them. %09 stands for a tab and so on.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net/url"
	"os"
	"strings"
	_ "unsafe"

	"github.com/prometheus/prometheus/promql/parser"
	v1 "github.com/prometheus/prometheus/web/api/v1"
)

//go:linkname translateAST github.com/prometheus/prometheus/web/api/v1.translateAST
func translateAST(node parser.Expr) any

func main() {
	everything := parser.NewParser(parser.Options{
		EnableExperimentalFunctions:  true,
		ExperimentalDurationExpr:     true,
		EnableExtendedRangeSelectors: true,
		EnableBinopFillModifiers:     true,
	})
	rows := bufio.NewScanner(os.Stdin)
	rows.Buffer(nil, 1<<20)
	for rows.Scan() {
		fields := strings.Split(rows.Text(), "\t")
		if len(fields) < 3 || fields[2] != "ok" {
			continue
		}
		query, err := url.PathUnescape(fields[1])
		if err != nil {
			log.Fatal(err)
		}
		expr, err := everything.ParseExpr(query)
		if err != nil {
			log.Fatal(err)
		}
		var selectors []string
		for _, matchers := range parser.ExtractSelectors(expr) {
			var texts []string
			for _, matcher := range matchers {
				texts = append(texts, matcher.String())
			}
			selectors = append(selectors, "{"+strings.Join(texts, ",")+"}")
		}
		fmt.Printf("%s\t%s\n", data(expr), strings.NewReplacer("%", "%25", "\t", "%09", "\n", "%0A").Replace(strings.Join(selectors, ";")))
	}
	if err := rows.Err(); err != nil {
		log.Fatal(err)
	}
}

// data returns the part of the response that is the tree.
func data(expr parser.Expr) string {
	response, err := v1.JSONCodec{}.Encode(&v1.Response{Data: translateAST(expr)})
	if err != nil {
		return "error " + err.Error()
	}
	json, isResponse := strings.CutPrefix(string(response), `{"status":"","data":`)
	if !isResponse {
		log.Fatal(string(response))
	}
	return strings.TrimSuffix(json, "}")
}
