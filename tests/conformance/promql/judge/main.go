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
// letters: d for delayed name removal, s for start timestamps, t for type and unit labels, - for none. Times are
// milliseconds.
//
// The result of each query is lines of the same kind, flushed after the last one of a query:
//
//	>  ID KIND                       scalar, string, vector, matrix or error
//	E  TEXT                          the error
//	W  TEXT                          a warning; I for an information
//	C  TOTAL PEAK READ               the samples of the statistics
//	S, F, H                          as above, of vectors and matrices; F alone for a scalar
//	T  TIME TEXT                     a string
//	.                                the end
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
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

var (
	out     = bufio.NewWriterSize(os.Stdout, 1<<16)
	escape  = strings.NewReplacer("\\", `\\`, "\t", `\t`, "\n", `\n`)
	restore = strings.NewReplacer(`\\`, "\\", `\t`, "\t", `\n`, "\n")
	all     memory
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
			all = append(all, &series{labels: labels.FromStrings(pairs...)})
		case "F":
			add(sample{t: integer(fields[0]), f: float(fields[1]), st: integer(fields[2])})
		case "H":
			add(sample{t: integer(fields[0]), st: integer(fields[1]), h: readHistogram(fields[2:])})
		case "Q", "R":
			evaluate(kind == "R", fields)
			must(out.Flush())
		default:
			panic("no such line: " + in.Text())
		}
	}
	must(in.Err())
}

func add(s sample) {
	last := all[len(all)-1]
	last.samples = append(last.samples, s)
}

func evaluate(isRange bool, fields []string) {
	slices.SortFunc(all, func(a, b *series) int { return labels.Compare(a.labels, b.labels) })
	id, engine := fields[0], engineWith(fields[1])
	opts := promql.NewPrometheusQueryOpts(false, time.Duration(integer(fields[2]))*time.Millisecond)
	text := restore.Replace(fields[len(fields)-1])
	var query promql.Query
	var err error
	if isRange {
		step := time.Duration(integer(fields[5])) * time.Millisecond
		query, err = engine.NewRangeQuery(context.Background(), all, opts, text, at(fields[3]), at(fields[4]), step)
	} else {
		query, err = engine.NewInstantQuery(context.Background(), all, opts, text, at(fields[3]))
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

// memory is all series, sorted by their labels, as a storage.
type memory []*series

type series struct {
	labels  labels.Labels
	samples samples
}

type querier struct {
	memory
	from, to int64
}

func (m memory) Querier(from, to int64) (storage.Querier, error) { return querier{m, from, to}, nil }

func (q querier) Select(_ context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if hints != nil {
		q.from, q.to = hints.Start, hints.End
	}
	set := &set{at: -1}
	for _, series := range q.memory {
		matches := func(m *labels.Matcher) bool { return m.Matches(series.labels.Get(m.Name)) }
		if slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !matches(m) }) {
			continue
		}
		within := series.samples
		for len(within) > 0 && within[0].t < q.from {
			within = within[1:]
		}
		for len(within) > 0 && within[len(within)-1].t > q.to {
			within = within[:len(within)-1]
		}
		if len(within) > 0 {
			set.series = append(set.series, &storage.SeriesEntry{
				Lset:             series.labels,
				SampleIteratorFn: func(chunkenc.Iterator) chunkenc.Iterator { return &iterator{storage.NewListSeriesIterator(within)} },
			})
		}
	}
	return set
}

func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.New("queries need no label values")
}

func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.New("queries need no label names")
}

func (querier) Close() error { return nil }

type set struct {
	series []storage.Series
	at     int
}

func (s *set) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *set) At() storage.Series                { return s.series[s.at] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

// iterator gives away copies of its histograms, which the engine changes.
type iterator struct{ chunkenc.Iterator }

func (i *iterator) AtFloatHistogram(to *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	t, h := i.Iterator.AtFloatHistogram(nil)
	if to == nil {
		return t, h.Copy()
	}
	h.CopyTo(to)
	return t, to
}

type samples []sample

func (s samples) Get(i int) chunks.Sample { return s[i] }
func (s samples) Len() int                { return len(s) }

type sample struct {
	t, st int64
	f     float64
	h     *histogram.FloatHistogram
}

func (s sample) T() int64                      { return s.t }
func (s sample) ST() int64                     { return s.st }
func (s sample) F() float64                    { return s.f }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return s.h }
func (s sample) Copy() chunks.Sample           { return s }

func (s sample) Type() chunkenc.ValueType {
	if s.h != nil {
		return chunkenc.ValFloatHistogram
	}
	return chunkenc.ValFloat
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
