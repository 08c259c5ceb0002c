// Prints chunks of native histograms and of floats among them, made by Prometheus' own encoder of a
// series of samples (storage.NewSeriesToChunkEncoder). A line is a series: a name, the samples with
// commas between them, the chunks with commas between them.
//
// A sample is f:milliseconds:bits of a float, or h: and the message prometheus.Histogram in base64. A
// chunk is encoding:first millisecond:last millisecond:data in base64. vectors.txt beside it is the output:
//
//	cp generate.go /tmp/histograms/ && cd /tmp/histograms && go mod init histograms &&
//	go get github.com/prometheus/prometheus@v0.315.0 && go mod tidy && go run . >vectors.txt
package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"math/rand"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

const start = 1_600_000_000_000

// sample is one of a float, an integer histogram and a float histogram.
type sample struct {
	t  int64
	f  float64
	h  *histogram.Histogram
	fh *histogram.FloatHistogram
}

func (s sample) T() int64                      { return s.t }
func (sample) ST() int64                       { return 0 }
func (s sample) F() float64                    { return s.f }
func (s sample) H() *histogram.Histogram       { return s.h }
func (s sample) FH() *histogram.FloatHistogram { return s.fh }
func (s sample) Copy() chunks.Sample           { return s }

func (s sample) Type() chunkenc.ValueType {
	switch {
	case s.h != nil:
		return chunkenc.ValHistogram
	case s.fh != nil:
		return chunkenc.ValFloatHistogram
	default:
		return chunkenc.ValFloat
	}
}

func (s sample) text() string {
	var message prompb.Histogram
	switch {
	case s.h != nil:
		message = prompb.FromIntHistogram(s.t, s.h)
	case s.fh != nil:
		message = prompb.FromFloatHistogram(s.t, s.fh)
	default:
		return fmt.Sprintf("f:%d:%x", s.t, math.Float64bits(s.f))
	}
	bytes, err := message.Marshal()
	if err != nil {
		panic(err)
	}
	return "h:" + base64.StdEncoding.EncodeToString(bytes)
}

func show(name string, samples []sample) {
	var all []chunks.Sample
	var texts []string
	for _, s := range samples {
		// Before the encoder, which changes what it is given.
		texts = append(texts, s.text())
		all = append(all, s)
	}
	series := storage.NewListSeries(labels.FromStrings("__name__", "m"), all)
	metas, err := storage.ExpandChunks(storage.NewSeriesToChunkEncoder(series).Iterator(nil))
	if err != nil {
		panic(err)
	}
	var encoded []string
	for _, meta := range metas {
		encoded = append(encoded, fmt.Sprintf("%d:%d:%d:%s",
			meta.Chunk.Encoding(), meta.MinTime, meta.MaxTime,
			base64.StdEncoding.EncodeToString(meta.Chunk.Bytes())))
	}
	fmt.Printf("%s %s %s\n", name, strings.Join(texts, ","), strings.Join(encoded, ","))
}

// state is what a series of histograms observes: counts by the index of the bucket, which keep a bucket
// once it is there.
type state struct {
	schema             int32
	threshold          float64
	zero               int64
	positive, negative map[int]int64
	custom             []float64
	hint               histogram.CounterResetHint
	sum                float64
	// nanObservations are in the count and in no bucket.
	nanObservations uint64
	// loose writes spans in other forms that mean the same.
	loose bool
}

func of(buckets ...int) map[int]int64 {
	all := map[int]int64{}
	for i, index := range buckets {
		all[index] = int64(i + 1)
	}
	return all
}

func (s *state) spans(buckets map[int]int64) (spans []histogram.Span, deltas []int64) {
	indexes := slices.Sorted(maps.Keys(buckets))
	var last int64
	next := 0
	for i, index := range indexes {
		switch {
		case s.loose && i%3 == 1 && index > next:
			// A gap in two parts, with a span of nothing between them.
			spans = append(spans, histogram.Span{Offset: 1}, histogram.Span{Offset: int32(index-next) - 1, Length: 1})
		case i > 0 && index == next && !(s.loose && i%4 == 2):
			spans[len(spans)-1].Length++
		default:
			spans = append(spans, histogram.Span{Offset: int32(index - next), Length: 1})
		}
		next = index + 1
		deltas = append(deltas, buckets[index]-last)
		last = buckets[index]
	}
	if s.loose && len(spans) > 0 {
		spans = append(spans, histogram.Span{Offset: 3})
	}
	return spans, deltas
}

func (s *state) histogram() *histogram.Histogram {
	h := &histogram.Histogram{
		CounterResetHint: s.hint,
		Schema:           s.schema,
		ZeroThreshold:    s.threshold,
		ZeroCount:        uint64(s.zero),
		Count:            uint64(s.zero) + s.nanObservations,
		Sum:              s.sum,
		CustomValues:     s.custom,
	}
	h.PositiveSpans, h.PositiveBuckets = s.spans(s.positive)
	h.NegativeSpans, h.NegativeBuckets = s.spans(s.negative)
	for _, buckets := range []map[int]int64{s.positive, s.negative} {
		for _, count := range buckets {
			h.Count += uint64(count)
		}
	}
	return h
}

func (s *state) float() *histogram.FloatHistogram {
	fh := s.histogram().ToFloat(nil)
	fh.CounterResetHint = s.hint
	// Numbers that no integer histogram has.
	fh.Count /= 3
	fh.ZeroCount /= 3
	for _, buckets := range [][]float64{fh.PositiveBuckets, fh.NegativeBuckets} {
		for i := range buckets {
			buckets[i] /= 3
		}
	}
	return fh
}

// series takes samples of a state, 15 s apart by default.
type series struct {
	state
	isFloat bool
	time    int64
	step    int64
	samples []sample
}

func newSeries(isFloat bool) *series {
	return &series{
		state: state{
			threshold: 0x1p-128,
			positive:  map[int]int64{},
			negative:  map[int]int64{},
		},
		isFloat: isFloat,
		time:    start,
		step:    15_000,
	}
}

func (s *series) add() {
	one := sample{t: s.time}
	if s.isFloat {
		one.fh = s.float()
	} else {
		one.h = s.histogram()
	}
	s.samples = append(s.samples, one)
	s.time += s.step
}

func (s *series) addStale() {
	one := sample{t: s.time}
	sum := math.Float64frombits(value.StaleNaN)
	if s.isFloat {
		one.fh = &histogram.FloatHistogram{Sum: sum}
	} else {
		one.h = &histogram.Histogram{Sum: sum}
	}
	s.samples = append(s.samples, one)
	s.time += s.step
}

func (s *series) addValue(v float64) {
	s.samples = append(s.samples, sample{t: s.time, f: v})
	s.time += s.step
}

// times adds so many samples, each after a change.
func (s *series) times(count int, change func(i int)) *series {
	for i := range count {
		change(i)
		s.add()
	}
	return s
}

var (
	random = rand.New(rand.NewSource(18))
	kinds  = map[string]bool{"int": false, "float": true}
	order  = []string{"int", "float"}
)

func each(name string, make func(s *series)) {
	for _, kind := range order {
		s := newSeries(kinds[kind])
		make(s)
		show(kind+"_"+name, s.samples)
	}
}

// observe adds observations to buckets that are there, or not yet.
func (s *series) observe() {
	for range 1 + random.Intn(3) {
		s.positive[random.Intn(12)-4] += int64(random.Intn(20))
		if random.Intn(3) == 0 {
			s.negative[random.Intn(9)-4] += int64(random.Intn(5))
		}
	}
	s.zero += int64(random.Intn(3))
	s.sum += random.Float64() * 10
}

func main() {
	each("one", func(s *series) {
		s.positive, s.negative, s.zero, s.sum = of(0, 1, 4), of(-2), 3, 18.4
		s.add()
	})
	each("empty", func(s *series) { s.times(3, func(int) {}) })
	// More than two chunks of samples, with buckets that stay.
	each("constant_layout", func(s *series) {
		s.positive, s.negative = of(0, 1, 5), of(1)
		s.times(245, func(i int) {
			for index := range s.positive {
				s.positive[index] += int64((i * (index + 3)) % 7)
			}
			s.negative[1] += int64(i % 2)
			s.zero += int64(i % 3)
			s.sum += float64(i) / 8
			s.step = 15_000 + int64(i%5) - 2
		})
	})
	each("120", func(s *series) { s.positive = of(3); s.times(120, func(int) { s.sum++ }) })
	each("121", func(s *series) { s.positive = of(3); s.times(121, func(int) { s.sum++ }) })
	// Buckets come, at the ends and between.
	each("growth", func(s *series) {
		for _, index := range []int{5, 6, 4, 9, 1, 7, -3, 20, 0, 8} {
			s.positive[index] = 2
			s.times(4, func(int) { s.positive[index]++; s.sum++ })
			s.negative[-index] = 1
			s.add()
		}
	})
	each("random_growth", func(s *series) { s.times(60, func(int) { s.observe() }) })
	each("random_growth_loose", func(s *series) {
		s.times(60, func(i int) { s.loose = i%5 != 4; s.observe() })
	})
	// Buckets without observations go, alone and while others come.
	each("empty_buckets_vanish", func(s *series) {
		s.positive = map[int]int64{0: 3, 1: 0, 2: 4, 3: 0, 7: 0, 9: 1, 10: 0}
		s.negative = map[int]int64{0: 0, 4: 2, 5: 0}
		s.times(3, func(int) { s.positive[0]++ })
		delete(s.positive, 1)
		delete(s.positive, 10)
		s.times(3, func(int) { s.positive[2]++ })
		delete(s.positive, 3)
		s.positive[5], s.positive[12] = 1, 0
		s.times(3, func(int) { s.positive[2]++ })
		delete(s.negative, 0)
		s.negative[9] = 1
		s.times(3, func(int) { s.positive[2]++ })
		delete(s.positive, 7)
		delete(s.negative, 5)
		s.times(2, func(int) { s.positive[9]++ })
		s.positive[7] = 4
		s.loose = true
		s.times(2, func(int) { s.positive[9]++ })
	})
	each("other_spans_of_the_same", func(s *series) {
		s.positive, s.negative = of(0, 1, 2, 3, 4, 8, 9), of(2, 3, 4)
		s.times(6, func(i int) { s.loose = i%2 == 1; s.positive[3]++ })
		s.loose = true
		s.positive[6] = 1
		s.times(3, func(i int) { s.positive[3]++ })
	})
	each("count_resets", func(s *series) {
		s.positive = of(1, 2, 3)
		s.times(5, func(int) { s.positive[2] += 3 })
		s.positive = of(1, 2, 3)
		s.times(5, func(int) { s.positive[2] += 3 })
	})
	each("bucket_resets", func(s *series) {
		s.positive, s.negative = of(1, 2, 3), of(4)
		s.times(5, func(int) { s.positive[2] += 3 })
		s.positive[1], s.positive[2] = 0, s.positive[2]+9
		s.times(3, func(int) { s.positive[2] += 3 })
		s.negative[4] = 0
		s.times(3, func(int) { s.positive[2] += 3 })
	})
	each("bucket_vanishes", func(s *series) {
		s.positive = of(1, 2, 3)
		s.times(3, func(int) { s.positive[2] += 3 })
		delete(s.positive, 3)
		s.positive[2] += 50
		s.times(3, func(int) { s.positive[2] += 3 })
		delete(s.positive, 1)
		s.positive[2] += 50
		s.times(3, func(int) { s.positive[2] += 3 })
	})
	each("zero_bucket_resets", func(s *series) {
		s.positive, s.zero = of(1), 7
		s.times(3, func(int) { s.positive[1] += 20 })
		s.zero = 6
		s.times(3, func(int) { s.positive[1] += 20 })
	})
	each("hints", func(s *series) {
		s.positive = of(1, 2)
		hints := []histogram.CounterResetHint{
			histogram.CounterReset, histogram.NotCounterReset, histogram.UnknownCounterReset,
			histogram.CounterReset, histogram.CounterReset, histogram.NotCounterReset,
			histogram.GaugeType, histogram.GaugeType, histogram.NotCounterReset, histogram.GaugeType,
			histogram.CounterReset, histogram.GaugeType, histogram.UnknownCounterReset,
		}
		s.times(len(hints), func(i int) { s.hint = hints[i]; s.positive[1]++ })
		s.positive = of(1)
		s.hint = histogram.NotCounterReset
		s.add()
	})
	each("schemas", func(s *series) {
		s.positive = of(1, 2)
		schemas := []int32{-4, -4, 0, 8, 8, 9, 9, 52, 52, 0}
		s.times(len(schemas), func(i int) { s.schema = schemas[i]; s.positive[1]++ })
	})
	each("thresholds", func(s *series) {
		s.positive = of(1, 2)
		thresholds := []float64{
			0, 0, math.Copysign(0, -1), 0x1p-128, 0x1p-243, 0x1p-244, 0x1p10, 0x1p11, 0x1p12, 1, 0.5,
			0.001, 0.75, -1, math.Inf(1), math.NaN(), math.NaN(), 0x1p-1074, math.MaxFloat64,
		}
		s.times(len(thresholds), func(i int) { s.threshold = thresholds[i]; s.positive[1]++ })
	})
	each("sums", func(s *series) {
		s.positive = of(1, 2)
		// But -0, which no message brings.
		sums := []float64{
			1, math.NaN(), math.Float64frombits(0xfff8deadbeef0001), math.Inf(1), math.Inf(-1),
			0, 0, -1.5e300, 5e-324, 1, 1, 2,
		}
		s.times(len(sums), func(i int) { s.sum = sums[i]; s.nanObservations += 3; s.positive[1]++ })
	})
	each("custom", func(s *series) {
		s.schema, s.threshold, s.positive = histogram.CustomBucketsSchema, 0, of(0, 1, 3)
		s.custom = []float64{
			-5, math.Copysign(0, -1), 0.001, 0.005, 0.0055, 1.0 / 3, 0.5, 1, 2.5, 10, 33554.43, 33554.431, 33554.432, 1e6, 1e300,
		}
		s.times(4, func(i int) { s.positive[3]++; s.sum++ })
		s.positive[9] = 1
		s.times(4, func(i int) { s.positive[3]++; s.sum++ })
		s.custom = []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}
		s.times(4, func(i int) { s.positive[3]++; s.sum++ })
		s.custom = append([]float64{}, s.custom...)
		s.custom[2] = 0.35
		s.times(4, func(i int) { s.positive[3]++; s.sum++ })
		s.custom, s.positive = nil, of(0)
		s.times(2, func(i int) { s.positive[0] += 100; s.sum++ })
	})
	each("gauge", func(s *series) {
		s.hint = histogram.GaugeType
		s.times(130, func(i int) {
			s.positive, s.negative = map[int]int64{}, map[int]int64{}
			for range random.Intn(6) {
				s.positive[random.Intn(9)-3+i/20] = int64(random.Intn(30))
			}
			for range random.Intn(3) {
				s.negative[random.Intn(9)-3] = int64(random.Intn(30))
			}
			s.zero, s.sum = int64(random.Intn(5)), random.NormFloat64()
			s.loose = i%7 == 3
			if i%50 == 49 {
				s.schema++
			}
		})
	})
	each("gauge_custom", func(s *series) {
		s.hint, s.schema, s.threshold = histogram.GaugeType, histogram.CustomBucketsSchema, 0
		s.custom = []float64{1, 2, 3, 4, 5}
		s.times(30, func(i int) {
			s.positive = of(i%5, 5)
			if i == 20 {
				s.custom = []float64{1, 2, 3, 4, 6}
			}
		})
	})
	each("stale", func(s *series) {
		s.addStale()
		s.addStale()
		s.positive = of(1, 2, 5)
		s.times(4, func(i int) { s.positive[1]++; s.sum++ })
		s.addStale()
		s.step = 1_000
		s.addStale()
		s.addStale()
		s.times(4, func(i int) { s.positive[1]++; s.sum++ })
		s.hint = histogram.GaugeType
		s.times(3, func(i int) { s.positive[1]-- })
		s.addStale()
		s.times(3, func(i int) { s.positive[1]-- })
		s.addStale()
		s.hint = histogram.CounterReset
		s.times(2, func(i int) { s.positive[1]++ })
		s.addStale()
	})
	each("among_floats", func(s *series) {
		s.addValue(1)
		s.addValue(2)
		s.positive = of(1, 2, 5)
		s.times(4, func(i int) { s.positive[1]++; s.sum++ })
		s.addValue(3)
		s.times(4, func(i int) { s.positive[1]++; s.sum++ })
		s.addStale()
		s.addValue(math.Float64frombits(value.StaleNaN))
		for i := range 130 {
			s.addValue(float64(i))
		}
		s.add()
		s.addValue(4)
	})
	changing := newSeries(false)
	changing.positive = of(1, 2)
	changing.times(60, func(i int) {
		changing.isFloat = i/7%2 == 1
		changing.positive[1] += 5
		if i%11 == 10 {
			changing.addValue(float64(i))
		}
	})
	show("integers_and_floats", changing.samples)
	// Distances and numbers at the ends of each width.
	for _, limit := range []int64{4, 32, 256, 2048, 131072, 16777216, 36028797018963968} {
		s := newSeries(false)
		s.positive, s.negative = of(1, 2), of(0)
		for _, off := range []int64{-1, 0, 1} {
			s.positive[1], s.positive[2], s.negative[0] = 0, limit+off, 0
			s.zero = (limit + off) / 2
			s.add()
			s.positive[1], s.positive[2] = limit/2, limit
			s.zero = limit
			s.add()
			s.positive[1], s.negative[0], s.positive[2] = 2*limit+off, limit, 2*limit
			s.step = limit%1_000_000_007 + off
			s.add()
		}
		show(fmt.Sprintf("widths_%d", limit), s.samples)
	}
	huge := newSeries(false)
	huge.positive = map[int]int64{0: math.MaxInt64, 1: 0, 2: math.MaxInt64}
	huge.zero = 1
	huge.times(3, func(i int) { huge.time += 1 << 40; huge.sum++ })
	huge.positive = map[int]int64{-2147483648: 1, 2147483640: math.MaxInt64}
	huge.zero = math.MaxInt64
	huge.times(2, func(int) {})
	show("huge", huge.samples)
	negative := newSeries(true)
	negative.time, negative.step = -40_000, 20_000
	negative.positive = of(0)
	negative.times(5, func(int) { negative.positive[0]++ })
	show("times_around_zero", negative.samples)
	specials := newSeries(true)
	specials.positive = of(0, 1)
	specials.times(6, func(int) { specials.positive[1]++ })
	for i, bits := range []float64{math.NaN(), math.Inf(1), math.NaN(), 0, math.Copysign(0, -1), 5e-324} {
		fh := specials.samples[i].fh
		fh.PositiveBuckets[i%2], fh.ZeroCount, fh.Count = bits, bits, bits
	}
	show("float_specials", specials.samples)
	// Everything at once.
	for round := range 4 {
		s := newSeries(round%2 == 1)
		s.times(100, func(i int) {
			switch random.Intn(14) {
			case 0:
				s.hint = histogram.CounterResetHint(random.Intn(4))
			case 1:
				s.schema = int32(random.Intn(3))
			case 2:
				s.threshold = float64(random.Intn(2)) / 8
			case 3:
				s.loose = !s.loose
			case 4:
				s.addStale()
			case 5:
				s.addValue(random.Float64())
			case 6:
				for _, index := range slices.Sorted(maps.Keys(s.positive)) {
					if s.positive[index] == 0 || random.Intn(8) == 0 {
						delete(s.positive, index)
					}
				}
			case 7:
				s.positive[random.Intn(20)-9] += 0
			case 8:
				if random.Intn(3) == 0 {
					s.isFloat = !s.isFloat
				}
			case 9:
				if random.Intn(3) == 0 {
					s.positive = of(random.Intn(4), 7)
				}
			}
			s.step = int64(1 + random.Intn(1<<(1+random.Intn(20))))
			s.observe()
		})
		show(fmt.Sprintf("anything_%d", round), s.samples)
	}
}
