// Finds the evaluations of Prometheus' own test scripts that fail in Prometheus itself with other switches than those that
// the scripts are written for. In the folder of this file:
//
//	mkdir -p /tmp/failures && cp failures_test.go ../../../../../tests/conformance/promql/go.* /tmp/failures/ &&
//	go test -C /tmp/failures -v . | sed -nE \
//	's|^ +--- FAIL: TestFailures/([a-z_]+)/testdata/([a-z_-]+\.test)/line_([0-9]+)/.*|\1 \2 \3|p' |
//	LC_ALL=C sort -k1,2 -k3n >failures.txt
//
// A line of failures.txt has the name of the switches, the script, and the line of the evaluation.
package promql

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

func TestFailures(t *testing.T) {
	for name, change := range map[string]func(*promql.EngineOpts){
		"without_delayed_name_removal": func(options *promql.EngineOpts) {
			options.EnableDelayedNameRemoval = false
		},
		"as_shipped": func(options *promql.EngineOpts) {
			options.EnableDelayedNameRemoval = false
			options.UseStartTimestamps = false
			options.Parser = parser.NewParser(parser.Options{ExperimentalDurationExpr: true})
		},
	} {
		options := promql.EngineOpts{
			MaxSamples:               promqltest.DefaultMaxSamplesPerQuery,
			Timeout:                  100 * time.Second,
			NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
			EnableAtModifier:         true,
			EnableNegativeOffset:     true,
			EnableDelayedNameRemoval: true,
			UseStartTimestamps:       true,
			Parser:                   parser.NewParser(promqltest.TestParserOpts),
		}
		change(&options)
		t.Run(name, func(t *testing.T) {
			promqltest.RunBuiltinTests(t, promqltest.NewTestEngineWithOpts(t, options))
		})
	}
}
