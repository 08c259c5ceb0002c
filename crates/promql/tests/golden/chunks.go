// Writes chunks.txt: samples of series, and what Prometheus' database returns of them. In the folder of this file:
//
//	mkdir -p /tmp/chunks && cp chunks.go ../../../../tests/conformance/promql/go.* /tmp/chunks/ &&
//	go run -C /tmp/chunks chunks.go >chunks.txt
//
// A series is a line, and its samples are separated by tabs: a float, or a histogram with the fields
//
//	schema;zero threshold;zero count;count;sum;hint;custom values;positive buckets;negative buckets
//
// where buckets are INDEX=COUNT. The line after it has the samples as they are read. The series are random, but the same in
// each run, and short, so that no chunk ends because of its size.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"math"
	"math/rand"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	storageapi "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/teststorage"
)

const series = 400

var random = rand.New(rand.NewSource(1))

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	storage, err := teststorage.NewWithError(func(options *tsdb.Options) {
		options.EnableSTStorage = true
		options.FloatChunkEncoding = chunkenc.EncXOR2
		options.EnableHistogramSTEncoding = true
	})
	check(err)
	for number := range series {
		name := labels.FromStrings("__name__", fmt.Sprint("m", number))
		appended := appendSamples(storage, name, number%2 == 0)
		fmt.Fprintln(out, strings.Join(appended, "\t"))
		fmt.Fprintln(out, strings.Join(read(storage, name), "\t"))
	}
	check(storage.Close())
}

// appendSamples appends samples in one transaction or in one each.
func appendSamples(storage *teststorage.TestStorage, name labels.Labels, isOne bool) []string {
	var texts []string
	appender := storage.AppenderV2(context.Background())
	state := newState()
	for t := range int64(4 + random.Intn(6)) {
		float, fh := state.next()
		if fh == nil {
			texts = append(texts, floatText(float))
		} else {
			texts = append(texts, text(fh))
		}
		_, err := appender.Append(0, name, 0, t, float, nil, fh, storageapi.AppendV2Options{})
		check(err)
		if !isOne {
			check(appender.Commit())
			appender = storage.AppenderV2(context.Background())
		}
	}
	check(appender.Commit())
	return texts
}

// read returns all samples of a series.
func read(storage *teststorage.TestStorage, name labels.Labels) []string {
	querier, err := storage.Querier(math.MinInt64, math.MaxInt64)
	check(err)
	matcher := labels.MustNewMatcher(labels.MatchEqual, "__name__", name.Get("__name__"))
	set := querier.Select(context.Background(), false, nil, matcher)
	var texts []string
	for set.Next() {
		samples := set.At().Iterator(nil)
		for kind := samples.Next(); kind != chunkenc.ValNone; kind = samples.Next() {
			if kind == chunkenc.ValFloat {
				_, float := samples.At()
				texts = append(texts, floatText(float))
			} else {
				_, fh := samples.AtFloatHistogram(nil)
				texts = append(texts, text(fh))
			}
		}
		check(samples.Err())
	}
	check(set.Err())
	check(querier.Close())
	return texts
}

// state is the latest histogram of a series, from which the next one is made.
type state struct {
	schema             int32
	threshold          float64
	zero               float64
	positive, negative map[int]float64
	custom             []float64
	gauge              bool
}

func newState() *state {
	s := &state{positive: map[int]float64{}, negative: map[int]float64{}, gauge: random.Intn(4) == 0}
	if random.Intn(4) == 0 {
		s.schema, s.custom = histogram.CustomBucketsSchema, []float64{1, 2, 5, 10}
	}
	s.grow()
	return s
}

func (s *state) isCustom() bool { return s.schema == histogram.CustomBucketsSchema }

func (s *state) buckets() map[int]float64 {
	if !s.isCustom() && random.Intn(3) == 0 {
		return s.negative
	}
	return s.positive
}

// index returns a bucket that custom buckets have too.
func index() int { return random.Intn(5) }

func (s *state) grow() {
	for range random.Intn(3) {
		s.buckets()[index()] += float64(random.Intn(3))
	}
	if !s.isCustom() {
		s.zero += float64(random.Intn(2))
	}
}

// next returns a float, or a histogram that is mostly the one before with more observations.
func (s *state) next() (float64, *histogram.FloatHistogram) {
	hint := histogram.UnknownCounterReset
	switch random.Intn(24) {
	case 0:
		return float64(random.Intn(5)), nil
	case 1, 2:
		return math.Float64frombits(value.StaleNaN), nil
	case 3:
		// A bucket disappears.
		delete(s.buckets(), index())
	case 4:
		// A bucket becomes empty.
		s.buckets()[index()] = 0
	case 5:
		buckets, index := s.buckets(), index()
		buckets[index] = math.Max(0, buckets[index]-1)
	case 6:
		s.zero = math.Max(0, s.zero-1)
	case 7:
		if s.isCustom() {
			s.custom = []float64{1, 2, 5, float64(10 + random.Intn(2))}
		} else {
			s.schema = int32(random.Intn(2))
		}
	case 8:
		if !s.isCustom() {
			s.threshold = float64(random.Intn(2)) / 4
		}
	case 9:
		s.gauge = !s.gauge
	case 10:
		hint = histogram.CounterReset
	case 11:
		hint = histogram.NotCounterReset
	default:
		s.grow()
	}
	if s.gauge {
		hint = histogram.GaugeType
	}
	fh := &histogram.FloatHistogram{
		CounterResetHint: hint,
		Schema:           s.schema,
		ZeroThreshold:    s.threshold,
		ZeroCount:        s.zero,
		Count:            s.zero,
		Sum:              float64(random.Intn(100)),
		CustomValues:     s.custom,
	}
	fh.PositiveSpans, fh.PositiveBuckets = layout(s.positive)
	fh.NegativeSpans, fh.NegativeBuckets = layout(s.negative)
	for _, count := range append(append([]float64{}, fh.PositiveBuckets...), fh.NegativeBuckets...) {
		fh.Count += count
	}
	return 0, fh
}

// layout returns buckets in the order of their indexes, with spans that are split at random.
func layout(counts map[int]float64) (spans []histogram.Span, buckets []float64) {
	end := 0
	for index := range 5 {
		count, ok := counts[index]
		if !ok {
			continue
		}
		if len(spans) == 0 || index != end || random.Intn(4) == 0 {
			spans = append(spans, histogram.Span{Offset: int32(index - end)})
		}
		spans[len(spans)-1].Length++
		buckets = append(buckets, count)
		end = index + 1
	}
	return spans, buckets
}

func text(fh *histogram.FloatHistogram) string {
	fields := []string{
		fmt.Sprint(fh.Schema), floatText(fh.ZeroThreshold), floatText(fh.ZeroCount), floatText(fh.Count), floatText(fh.Sum),
		fmt.Sprint(fh.CounterResetHint), strings.Join(floatTexts(fh.CustomValues), ","),
		bucketsText(fh.PositiveSpans, fh.PositiveBuckets), bucketsText(fh.NegativeSpans, fh.NegativeBuckets),
	}
	return strings.Join(fields, ";")
}

func bucketsText(spans []histogram.Span, buckets []float64) string {
	var texts []string
	var index int32
	for _, span := range spans {
		index += span.Offset
		for range span.Length {
			texts = append(texts, fmt.Sprint(index, "=", floatText(buckets[len(texts)])))
			index++
		}
	}
	return strings.Join(texts, ",")
}

func floatTexts(floats []float64) (texts []string) {
	for _, float := range floats {
		texts = append(texts, floatText(float))
	}
	return texts
}

func floatText(float float64) string {
	if value.IsStaleNaN(float) {
		return "stale"
	}
	return strconv.FormatFloat(float, 'g', -1, 64)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
