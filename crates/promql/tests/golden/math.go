// Writes the results of functions of one float by Prometheus' engine.
//
//	go run crates/promql/tests/golden/math.go >crates/promql/tests/golden/math.tsv
//
// Run it on amd64, in a module that requires github.com/prometheus/prometheus v0.315.0. The first row
// has the expressions, in which m is the float; the rows below have a float and the results of the
// expressions, "-" if there is none. Fields are separated by tabs.
package main

import (
	"context"
	"fmt"
	"log"
	"math"
	"math/rand"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

var expressions = []string{
	"abs(m)", "ceil(m)", "floor(m)", "sqrt(m)", "sgn(m)", "deg(m)", "rad(m)",
	"exp(m)", "ln(m)", "log2(m)", "log10(m)",
	"sin(m)", "cos(m)", "tan(m)", "asin(m)", "acos(m)", "atan(m)",
	"sinh(m)", "cosh(m)", "tanh(m)", "asinh(m)", "acosh(m)", "atanh(m)",
	"round(m)", "round(m, 0.1)", "round(m, -3)", "round(m, 0)", "round(m, Inf)",
	"clamp(m, -1, 2)", "clamp(m, 2, -1)", "clamp(m, -Inf, -0)", "clamp(m, 0, NaN)", "clamp_min(m, 0)", "clamp_max(m, NaN)",
	"year(m)", "month(m)", "day_of_month(m)", "day_of_week(m)", "day_of_year(m)", "days_in_month(m)", "hour(m)", "minute(m)",
}

func inputs() []float64 {
	special := []float64{
		0, 5e-324, 1e-320, 2.2250738585072009e-308, 2.2250738585072014e-308, 1e-300, 1e-17, 1 / (1 << 29), 1 / (1 << 28), 1e-8, 1e-4,
		0.1, 0.25, 0.2928932188134525, 0.41421356237309503, 0.49999999999999994, 0.5, 0.5000000000000001, 0.625, 0.66, 0.7, 0.7000000000000001,
		math.Sqrt2 / 2, 0.9999999999999999, 1, 1.0000000000000002, 1.0000000001, 1.5, 2, 2.0000000000000004, 2.5, 2.414213562373095, math.E,
		math.Pi / 4, math.Pi / 2, math.Pi, 2 * math.Pi, 3, 10, 21, 21.000000000000004, 22, 44.014845965556525, 45, 100, 1000, 709.4, 709.44, 709.78, 709.79, 710.4, 711,
		744.4, 745.1, 745.2, 746, 1e5, 1 << 28, 1<<28 + 1, 1 << 29, 1<<29 - 1, 1e9, 1e15, 1e16, 1 << 52, 1<<52 + 1, 1 << 53, 1e17, 1e100, 1e300, math.MaxFloat64, math.Inf(1),
		86399, 86400, 951782400, 951868799, 4107542399, 4107542400, 1735689599, 68255999, 5097600.9, 62135596800, 62135596801, 62167219200,
		9223371966579724800, 9223371966579723776, 9223372036854774784, 9223372036854775808, 1e19,
	}
	all := []float64{math.NaN()}
	for _, value := range special {
		all = append(all, value, -value)
	}
	random := rand.New(rand.NewSource(1))
	between := func(count int, from, to float64) {
		for range count {
			all = append(all, from+random.Float64()*(to-from))
		}
	}
	between(60, -1, 1)
	between(30, -10, 10)
	between(20, -750, 750)
	between(20, -1e9, 1e9)
	// The years -10000 to 10000.
	between(60, -377705116800, 253402300800)
	for range 60 {
		if value := math.Float64frombits(random.Uint64()); !math.IsNaN(value) {
			all = append(all, value)
		}
	}
	return all
}

type point struct {
	at    int64
	value float64
}

func (p point) ST() int64                     { return 0 }
func (p point) T() int64                      { return p.at }
func (p point) F() float64                    { return p.value }
func (p point) H() *histogram.Histogram       { return nil }
func (p point) FH() *histogram.FloatHistogram { return nil }
func (p point) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (p point) Copy() chunks.Sample           { return p }

type oneSeries struct {
	series storage.Series
	isRead bool
}

func (s *oneSeries) Next() bool {
	wasRead := s.isRead
	s.isRead = true
	return !wasRead
}

func (s *oneSeries) At() storage.Series                { return s.series }
func (s *oneSeries) Err() error                        { return nil }
func (s *oneSeries) Warnings() annotations.Annotations { return nil }

func main() {
	values := inputs()
	samples := make([]chunks.Sample, len(values))
	for i, value := range values {
		samples[i] = point{int64(i), value}
	}
	series := storage.NewListSeries(labels.FromStrings("__name__", "m"), samples)
	queryable := &storage.MockQueryable{MockQuerier: &storage.MockQuerier{
		SelectMockFunction: func(bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
			return &oneSeries{series: series}
		},
	}}
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1_000_000,
		Timeout:    time.Minute,
		Parser:     parser.NewParser(parser.Options{}),
	})
	rows := make([][]string, len(values))
	for i, value := range values {
		rows[i] = append(rows[i], text(value))
	}
	for _, expression := range expressions {
		end := time.UnixMilli(int64(len(values) - 1))
		query, err := engine.NewRangeQuery(context.Background(), queryable, nil, expression, time.UnixMilli(0), end, time.Millisecond)
		if err != nil {
			log.Fatal(err)
		}
		matrix, err := query.Exec(context.Background()).Matrix()
		if err != nil {
			log.Fatal(err)
		}
		results := map[int64]string{}
		for _, series := range matrix {
			for _, float := range series.Floats {
				results[float.T] = text(float.F)
			}
		}
		for i := range rows {
			result, ok := results[int64(i)]
			if !ok {
				result = "-"
			}
			rows[i] = append(rows[i], result)
		}
	}
	fmt.Println("m\t" + strings.Join(expressions, "\t"))
	for _, row := range rows {
		fmt.Println(strings.Join(row, "\t"))
	}
}

func text(value float64) string {
	return strconv.FormatFloat(value, 'g', -1, 64)
}
