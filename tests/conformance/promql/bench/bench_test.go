// Package bench measures Prometheus' engine on the expressions, the series and the steps of
// crates/promql/benches/engine.rs.
package bench

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"timestream-prometheus-connector/tests/conformance/promql/memory"
)

var expressions = flag.String("expressions", "", "the file with names and expressions")

const (
	interval = 15_000
	// An hour before the first step, and the steps.
	before    = 240
	intervals = before + 1_000
	bounds    = 10
)

func BenchmarkEngine(b *testing.B) {
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples:           50_000_000,
		Timeout:              2 * time.Minute,
		EnableAtModifier:     true,
		EnableNegativeOffset: true,
		Parser:               parser.NewParser(parser.Options{}),
	})
	stored := memory.New(series())
	file, err := os.Open(*expressions)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, expression, found := strings.Cut(lines.Text(), "\t")
		if !found {
			continue
		}
		for _, size := range []int{10, 100, 1_000} {
			text := strings.ReplaceAll(expression, "_X", fmt.Sprintf("_%d", size))
			for _, steps := range []int{1, 100, 1_000} {
				b.Run(fmt.Sprintf("%s/%dx%d", name, size, steps), func(b *testing.B) {
					b.ReportAllocs()
					start := time.UnixMilli(before * interval)
					end := start.Add(time.Duration(steps-1) * interval * time.Millisecond)
					for b.Loop() {
						query, err := engine.NewRangeQuery(context.Background(), stored, nil, text, start, end,
							interval*time.Millisecond)
						if err != nil {
							b.Fatal(err)
						}
						if result := query.Exec(context.Background()); result.Err != nil {
							b.Fatal(result.Err)
						}
						query.Close()
					}
				})
			}
		}
	}
}

func series() (all []*memory.Series) {
	var natives []*histogram.FloatHistogram
	for s := range intervals {
		natives = append(natives, native(s))
	}
	for _, size := range []int{10, 100, 1_000} {
		for i := range size {
			add := func(name string, value func(s int) float64, others ...string) {
				pairs := []string{
					labels.MetricName, fmt.Sprintf("%s_%d", name, size),
					"instance", strconv.Itoa(i), "group", strconv.Itoa(i % 10), "job", "bench",
				}
				one := &memory.Series{Lset: labels.FromStrings(append(pairs, others...)...)}
				for s := range intervals {
					one.Samples = append(one.Samples, memory.Sample{T: int64(s * interval), F: value(s)})
				}
				all = append(all, one)
			}
			// A counter with resets.
			add("a", func(s int) float64 { return float64(s%500*(i%5+1)) + float64(i)/float64(size) })
			add("b", func(s int) float64 { return float64(s % 500 * (i%3 + 1)) })
			if i < max(size/bounds, 1) {
				for at := range bounds {
					bound := strconv.Itoa(at)
					if at == bounds-1 {
						bound = "+Inf"
					}
					add("h", func(s int) float64 { return float64(s * (at + 1)) }, "le", bound)
				}
			}
			add("n", func(int) float64 { return 0 })
			last := all[len(all)-1].Samples
			for s := range last {
				last[s].H = natives[s]
			}
		}
	}
	return all
}

// native returns a histogram with 20 buckets in two spans.
func native(s int) *histogram.FloatHistogram {
	h := &histogram.FloatHistogram{
		Schema:        2,
		ZeroThreshold: 0.001,
		ZeroCount:     float64(s),
		PositiveSpans: []histogram.Span{{Offset: -8, Length: 12}, {Offset: 3, Length: 8}},
		Sum:           float64(s) * 37.5,
	}
	for at := range 20 {
		h.PositiveBuckets = append(h.PositiveBuckets, float64(s*(at%7+1)))
	}
	h.Count = h.ZeroCount
	for _, count := range h.PositiveBuckets {
		h.Count += count
	}
	return h
}
