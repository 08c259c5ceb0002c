// Evaluates queries by Prometheus' own engine. The input is lines of fields that are separated by tabs, with \t,
// \n and \\ for these characters in texts; floats are the 16 hexadecimal digits of their bits.
//
//	S  NAME VALUE NAME VALUE ..      a series, whose samples follow in the order of their times
//	F  TIME VALUE START              a float; START is its start timestamp, 0 if it has none
//	H  TIME START HISTOGRAM          a histogram
//	Q  ID FLAGS LOOKBACK TIME QUERY
//	R  ID FLAGS LOOKBACK START END STEP QUERY
//
// HISTOGRAM is the fields HINT SCHEMA ZERO_THRESHOLD ZERO_COUNT COUNT SUM, then SPANS and BUCKETS of the positive and
// of the negative side and CUSTOM_VALUES, lists that are separated by commas; a span is OFFSET:LENGTH. FLAGS are
// letters: d for delayed name removal, p for statistics per step, s for start timestamps, t for type and unit labels,
// - for none. Times are milliseconds.
//
// The result of each query is lines of the same kind, flushed after the last one of a query:
//
//	>  ID KIND                       scalar, string, vector, matrix or error
//	E  TEXT                          the error
//	W  TEXT                          a warning; I for an information
//	C  TOTAL PEAK READ               the samples of the statistics
//	P  TIME TOTAL READ               those of a step
//	S, F, H                          as above, of vectors and matrices; F alone for a scalar
//	T  TIME TEXT                     a string
//	.                                the end
package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"timestream-prometheus-connector/tests/conformance/promql/memory"
)

var (
	out     = bufio.NewWriterSize(os.Stdout, 1<<16)
	escape  = strings.NewReplacer("\\", `\\`, "\t", `\t`, "\n", `\n`)
	restore = strings.NewReplacer(`\\`, "\\", `\t`, "\t", `\n`, "\n")
	all     []*memory.Series
	stored  *memory.Storage
	engines = map[string]*promql.Engine{}
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<24)
	for in.Scan() {
		fields := strings.Split(in.Text(), "\t")
		kind, fields := fields[0], fields[1:]
		switch kind {
		case "S":
			var pairs []string
			for _, field := range fields {
				pairs = append(pairs, restore.Replace(field))
			}
			all = append(all, &memory.Series{Lset: labels.FromStrings(pairs...)})
		case "F":
			add(memory.Sample{T: integer(fields[0]), F: float(fields[1]), ST: integer(fields[2])})
		case "H":
			add(memory.Sample{T: integer(fields[0]), ST: integer(fields[1]), H: readHistogram(fields[2:])})
		case "Q", "R":
			evaluate(kind == "R", fields)
			must(out.Flush())
		default:
			panic("no such line: " + in.Text())
		}
	}
	must(in.Err())
}

func add(s memory.Sample) {
	last := all[len(all)-1]
	last.Samples = append(last.Samples, s)
}

func evaluate(isRange bool, fields []string) {
	if stored == nil {
		stored = memory.New(all)
	}
	id, engine := fields[0], engineWith(fields[1])
	opts := promql.NewPrometheusQueryOpts(strings.Contains(fields[1], "p"), time.Duration(integer(fields[2]))*time.Millisecond)
	text := restore.Replace(fields[len(fields)-1])
	var query promql.Query
	var err error
	if isRange {
		step := time.Duration(integer(fields[5])) * time.Millisecond
		query, err = engine.NewRangeQuery(context.Background(), stored, opts, text, at(fields[3]), at(fields[4]), step)
	} else {
		query, err = engine.NewInstantQuery(context.Background(), stored, opts, text, at(fields[3]))
	}
	if err != nil {
		write(">", id, "error")
		write("E", escape.Replace(err.Error()))
		write(".")
		return
	}
	defer query.Close()
	result := query.Exec(context.Background())
	switch value := result.Value.(type) {
	case nil:
		write(">", id, "error")
		write("E", escape.Replace(result.Err.Error()))
	case promql.Scalar:
		write(">", id, "scalar")
		write("F", fmt.Sprint(value.T), bits(value.V), "0")
	case promql.String:
		write(">", id, "string")
		write("T", fmt.Sprint(value.T), escape.Replace(value.V))
	case promql.Vector:
		write(">", id, "vector")
		for _, sample := range value {
			writeLabels(sample.Metric)
			if sample.H != nil {
				writeHistogram(sample.T, sample.H)
			} else {
				write("F", fmt.Sprint(sample.T), bits(sample.F), "0")
			}
		}
	case promql.Matrix:
		write(">", id, "matrix")
		for _, series := range value {
			writeLabels(series.Metric)
			for _, point := range series.Floats {
				write("F", fmt.Sprint(point.T), bits(point.F), "0")
			}
			for _, point := range series.Histograms {
				writeHistogram(point.T, point.H)
			}
		}
	default:
		panic(fmt.Sprintf("%T", value))
	}
	warnings, infos := result.Warnings.AsStrings(text, 0, 0)
	for _, warning := range warnings {
		write("W", escape.Replace(warning))
	}
	for _, info := range infos {
		write("I", escape.Replace(info))
	}
	if statistics := query.Stats(); statistics != nil {
		samples := statistics.Samples
		write("C", fmt.Sprint(samples.TotalSamples), fmt.Sprint(samples.PeakSamples), fmt.Sprint(samples.SamplesRead))
		for step, total := range samples.TotalSamplesPerStep {
			time := samples.StartTimestamp + int64(step)*samples.Interval
			write("P", fmt.Sprint(time), fmt.Sprint(total), fmt.Sprint(samples.SamplesReadPerStep[step]))
		}
	}
	write(".")
}

func engineWith(flags string) *promql.Engine {
	engine, known := engines[flags]
	if !known {
		engine = promql.NewEngine(promql.EngineOpts{
			MaxSamples:               50_000_000,
			Timeout:                  2 * time.Minute,
			NoStepSubqueryIntervalFn: func(int64) int64 { return 60_000 },
			EnableAtModifier:         true,
			EnableNegativeOffset:     true,
			EnablePerStepStats:       strings.Contains(flags, "p"),
			EnableDelayedNameRemoval: strings.Contains(flags, "d"),
			UseStartTimestamps:       strings.Contains(flags, "s"),
			EnableTypeAndUnitLabels:  strings.Contains(flags, "t"),
			Parser: parser.NewParser(parser.Options{
				EnableExperimentalFunctions:  true,
				ExperimentalDurationExpr:     true,
				EnableExtendedRangeSelectors: true,
				EnableBinopFillModifiers:     true,
			}),
		})
		engines[flags] = engine
	}
	return engine
}

func write(fields ...string) {
	_, err := out.WriteString(strings.Join(fields, "\t") + "\n")
	must(err)
}

func writeLabels(of labels.Labels) {
	fields := []string{"S"}
	of.Range(func(l labels.Label) { fields = append(fields, escape.Replace(l.Name), escape.Replace(l.Value)) })
	write(fields...)
}

func writeHistogram(t int64, h *histogram.FloatHistogram) {
	write("H", fmt.Sprint(t), "0", fmt.Sprint(h.CounterResetHint), fmt.Sprint(h.Schema), bits(h.ZeroThreshold),
		bits(h.ZeroCount), bits(h.Count), bits(h.Sum), spans(h.PositiveSpans), list(h.PositiveBuckets),
		spans(h.NegativeSpans), list(h.NegativeBuckets), list(h.CustomValues))
}

func spans(of []histogram.Span) string {
	var texts []string
	for _, span := range of {
		texts = append(texts, fmt.Sprintf("%d:%d", span.Offset, span.Length))
	}
	return strings.Join(texts, ",")
}

func list(of []float64) string {
	var texts []string
	for _, value := range of {
		texts = append(texts, bits(value))
	}
	return strings.Join(texts, ",")
}

func bits(value float64) string { return fmt.Sprintf("%016x", math.Float64bits(value)) }

func readHistogram(fields []string) *histogram.FloatHistogram {
	return &histogram.FloatHistogram{
		CounterResetHint: histogram.CounterResetHint(integer(fields[0])),
		Schema:           int32(integer(fields[1])),
		ZeroThreshold:    float(fields[2]),
		ZeroCount:        float(fields[3]),
		Count:            float(fields[4]),
		Sum:              float(fields[5]),
		PositiveSpans:    readSpans(fields[6]),
		PositiveBuckets:  readList(fields[7]),
		NegativeSpans:    readSpans(fields[8]),
		NegativeBuckets:  readList(fields[9]),
		CustomValues:     readList(fields[10]),
	}
}

func readSpans(text string) (all []histogram.Span) {
	for _, part := range parts(text) {
		offset, length, _ := strings.Cut(part, ":")
		all = append(all, histogram.Span{Offset: int32(integer(offset)), Length: uint32(integer(length))})
	}
	return all
}

func readList(text string) (all []float64) {
	for _, part := range parts(text) {
		all = append(all, float(part))
	}
	return all
}

func parts(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func at(text string) time.Time { return time.UnixMilli(integer(text)) }

func integer(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	must(err)
	return value
}

func float(text string) float64 {
	value, err := strconv.ParseUint(text, 16, 64)
	must(err)
	return math.Float64frombits(value)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
