// Writes float_histograms.txt: native histograms, and what Prometheus' own packages make of them.
//
//	mkdir -p /tmp/floats && cp float_histograms.go /tmp/floats/ && cd /tmp/floats && go mod init floats &&
//	go get github.com/prometheus/prometheus@v0.315.0 && go mod tidy && go run . >float_histograms.txt
//
// The histograms and the operations are random, but the same in each run. Floats have all digits that they need, so a
// result is equal only if its bits are. Run it on amd64, where Go does not fuse multiplications and additions.
package main

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser/posrange"
)

const (
	histograms = 110
	custom     = 38
)

var (
	random = rand.New(rand.NewSource(22))
	out    = bufio.NewWriter(os.Stdout)
	pool   []*histogram.FloatHistogram
)

func main() {
	defer out.Flush()
	fmt.Fprint(out, `Native histograms and results of Prometheus 3.15, written by float_histograms.go.

  int, float: HINT|SCHEMA|ZERO_THRESHOLD|ZERO_COUNT|COUNT|SUM|SPANS|BUCKETS|NEGATIVE_SPANS|NEGATIVE_BUCKETS|CUSTOM_VALUES;
    a span is OFFSET:LENGTH. The buckets after int are deltas, the others counts. Those after int and float are numbered
    from 0; "conv" has the floats of the integers before it
  log2, exp2: a hash of the results of 100000 floats and that of the one given
  other lines: an operation, its operands (histograms by number), "=" and the result. add, sub, sum and mean are compacted,
    their flags are "r" for conflicting resets and "b" for reconciled bounds

`)
	for i := range histograms {
		switch {
		case i%10 == 9:
			integers()
		case i%10 == 8:
			// Another one with the same layout.
			h := pool[random.Intn(len(pool))].Copy()
			for j := range h.PositiveBuckets {
				h.PositiveBuckets[j] += float64(random.Intn(3))
				h.Count++
			}
			if random.Intn(2) == 0 && len(h.PositiveSpans) > 0 {
				// A span without buckets.
				h.PositiveSpans = append(h.PositiveSpans, histogram.Span{Offset: 0, Length: 0})
			}
			register("float", h)
		case i%10 == 7 && i > 30:
			// A coarser one of the same range, with more or fewer observations.
			h := pool[random.Intn(len(pool))].Copy()
			if !h.UsesCustomBuckets() && h.Schema > -4 {
				if err := h.ReduceResolution(h.Schema - 1); err != nil {
					panic(err)
				}
			}
			h.Mul(1 + random.Float64())
			h.CounterResetHint = hint()
			register("float", h)
		default:
			register("float", floats(i >= histograms-custom))
		}
	}
	for schema := int32(-4); schema <= 8; schema++ {
		fmt.Fprintf(out, "bounds %d = %s\n", schema, bounds(schema))
	}
	// The float at which Go's logarithm changes its argument.
	fmt.Fprintf(out, "log2 %s = %s\n", float(math.Sqrt2/2), hashes(math.Log2, math.Sqrt2/2, func(bits uint64) float64 {
		return math.Float64frombits(bits >> 1)
	}))
	fmt.Fprintf(out, "exp2 0 = %s\n", hashes(math.Exp2, 0, func(bits uint64) float64 {
		return float64(bits>>11)/(1<<53)*2200 - 1100
	}))
	for i, h := range pool {
		fmt.Fprintf(out, "text %d = %s\n", i, h)
		fmt.Fprintf(out, "size %d = %d\n", i, (h.Size()+8)/16)
		if i%6 == 0 {
			fmt.Fprintf(out, "all %d = %s\n", i, buckets(h.AllBucketIterator()))
			fmt.Fprintf(out, "reversed %d = %s\n", i, buckets(h.AllReverseBucketIterator()))
		}
		fmt.Fprintf(out, "statistics %d = %s %s %s\n", i, call("histogram_avg", h), call("histogram_stdvar", h), call("histogram_stddev", h))
		for range 6 {
			q := random.Float64()
			if random.Intn(4) == 0 {
				q = pick(0, 0.5, 1, -1, 2, math.NaN(), 0.99)
			}
			value, annotations := promql.HistogramQuantile(q, h, "", posrange.PositionRange{})
			effect := "-"
			for text := range annotations {
				effect = "higher"
				if strings.Contains(text, "result is NaN") {
					effect = "result"
				}
			}
			fmt.Fprintf(out, "quantile %d %s = %s %s\n", i, float(q), float(value), effect)
		}
		more := 1
		if h.UsesCustomBuckets() {
			more = 3
		}
		for range 6 * more {
			lower, upper := boundary(h), boundary(h)
			if upper < lower && random.Intn(8) != 0 {
				lower, upper = upper, lower
			}
			value, annotations := promql.HistogramFraction(lower, upper, h, "", posrange.PositionRange{})
			fmt.Fprintf(out, "fraction %d %s %s = %s %t\n", i, float(lower), float(upper), float(value), len(annotations) > 0)
		}
		for range 1 + more {
			at := boundary(h)
			fmt.Fprintf(out, "trim_upper %d %s = %s\n", i, float(at), text(h.Copy().TrimBuckets(at, true)))
			at = boundary(h)
			fmt.Fprintf(out, "trim_lower %d %s = %s\n", i, float(at), text(h.Copy().TrimBuckets(at, false)))
		}
		if i%3 == 0 {
			factor := pick(0, 2, -1, 0.1, random.NormFloat64(), math.Inf(1))
			fmt.Fprintf(out, "mul %d %s = %s\n", i, float(factor), text(h.Copy().Mul(factor)))
			fmt.Fprintf(out, "div %d %s = %s\n", i, float(factor), text(h.Copy().Div(factor)))
		}
		if !h.UsesCustomBuckets() {
			// Wider zero buckets with counts that have risen.
			for range 2 {
				threshold := h.ZeroThreshold + pick(0.5, 1, 2, random.Float64()*2)
				fmt.Fprintf(out, "widereset %d %s = %t\n", i, float(threshold), wideReset(h, threshold))
			}
		}
		for empty := range 4 {
			if random.Intn(2) == 0 {
				fmt.Fprintf(out, "compact %d %d = %s\n", i, empty, text(h.Copy().Compact(empty)))
			}
		}
		if !h.UsesCustomBuckets() && h.Schema > -4 {
			schema := -4 + random.Int31n(h.Schema+4)
			reduced := h.Copy()
			if err := reduced.ReduceResolution(schema); err != nil {
				panic(err)
			}
			fmt.Fprintf(out, "reduce %d %d = %s\n", i, schema, text(reduced))
		}
	}
	for range 260 {
		i, j := pair()
		for _, name := range []string{"add", "sub"} {
			h := pool[i].Copy()
			operation := h.Add
			if name == "sub" {
				operation = h.Sub
			}
			_, conflict, reconciled, err := operation(pool[j])
			if err != nil {
				fmt.Fprintf(out, "%s %d %d = mixed\n", name, i, j)
				continue
			}
			fmt.Fprintf(out, "%s %d %d = %s %s\n", name, i, j, flags(conflict, reconciled), text(h.Compact(0)))
		}
	}
	for range 2400 {
		i, j := pair()
		switch random.Intn(4) {
		case 0:
			fmt.Fprintf(out, "reset %d %d = %t\n", i, j, pool[i].DetectReset(pool[j]))
		case 1:
			// The buckets decide.
			h := pool[i].Copy()
			h.CounterResetHint, h.Count = histogram.UnknownCounterReset, pool[j].Count
			fmt.Fprintf(out, "evenreset %d %d = %t\n", i, j, h.DetectReset(pool[j]))
		case 2:
			// A sum has rarely lost anything.
			sum := pool[j].Copy()
			if _, _, _, err := sum.Add(pool[i]); err == nil {
				sum.CounterResetHint = histogram.UnknownCounterReset
				fmt.Fprintf(out, "sumreset %d %d = %t\n", i, j, sum.Compact(0).DetectReset(pool[j]))
			}
		case 3:
			fmt.Fprintf(out, "equals %d %d = %t\n", i, j, pool[i].Equals(pool[j]))
		}
	}
	for range 130 {
		sum()
	}
}

// sum writes the sum and the incremental mean of some histograms as the aggregations of PromQL calculate them.
func sum() {
	i, j := pair()
	members := []int{i, j}
	for range 1 + random.Intn(4) {
		_, k := pair()
		if pool[k].UsesCustomBuckets() == pool[i].UsesCustomBuckets() {
			members = append(members, k)
		}
	}
	var (
		numbers                []string
		sum, mean, sumC, meanC *histogram.FloatHistogram
		conflict, bounds       bool
		err                    error
	)
	for n, member := range members {
		numbers = append(numbers, strconv.Itoa(member))
		h := pool[member]
		if n == 0 {
			sum, mean = h.Copy(), h.Copy()
			continue
		}
		var c, b bool
		sumC, c, b, err = sum.KahanAdd(h, sumC)
		conflict, bounds = conflict || c, bounds || b
		if err != nil {
			fmt.Fprintf(out, "sum %s = mixed\n", strings.Join(numbers, " "))
			return
		}
		count := float64(n + 1)
		q := (count - 1) / count
		if meanC != nil {
			meanC.Mul(q)
		}
		meanC, _, _, err = mean.Mul(q).KahanAdd(h.Copy().Div(count), meanC)
		if err != nil {
			panic(err)
		}
	}
	sum.Add(sumC)
	mean.Add(meanC)
	fmt.Fprintf(out, "sum %s = %s %s\n", strings.Join(numbers, " "), flags(conflict, bounds), text(sum.Compact(0)))
	fmt.Fprintf(out, "mean %s = %s\n", strings.Join(numbers, " "), text(mean.Compact(0)))
}

func flags(conflict, reconciled bool) string {
	flags := "-"
	if conflict {
		flags += "r"
	}
	if reconciled {
		flags += "b"
	}
	return flags
}

// pair returns two histograms that can be combined in most cases.
func pair() (int, int) {
	i, j := random.Intn(len(pool)), random.Intn(len(pool))
	for range 3 {
		if pool[i].UsesCustomBuckets() == pool[j].UsesCustomBuckets() {
			break
		}
		j = random.Intn(len(pool))
	}
	return i, j
}

func register(kind string, h *histogram.FloatHistogram) {
	if err := histogramLayout(h); err != nil {
		panic(err)
	}
	pool = append(pool, h)
	fmt.Fprintf(out, "%s %s\n", kind, text(h))
}

func histogramLayout(h *histogram.FloatHistogram) error {
	c := h.Copy()
	for i := range c.PositiveBuckets {
		c.PositiveBuckets[i] = 0
	}
	for i := range c.NegativeBuckets {
		c.NegativeBuckets[i] = 0
	}
	c.Count, c.ZeroCount = 0, 0
	return c.Validate()
}

func integers() {
	h := histogram.Histogram{
		CounterResetHint: hint(),
		Schema:           random.Int31n(13) - 4,
		ZeroThreshold:    threshold(),
		ZeroCount:        uint64(random.Intn(10)),
		Sum:              random.NormFloat64() * 100,
	}
	h.Count = h.ZeroCount
	side := func() (spans []histogram.Span, deltas []int64) {
		spans, n := layout(h.Schema)
		last := int64(0)
		for range n {
			count := int64(random.Intn(20))
			deltas = append(deltas, count-last)
			last = count
			h.Count += uint64(count)
		}
		return spans, deltas
	}
	h.PositiveSpans, h.PositiveBuckets = side()
	h.NegativeSpans, h.NegativeBuckets = side()
	fmt.Fprintf(out, "int %d|%d|%s|%d|%d|%s|%s|%s|%s|%s|\n", h.CounterResetHint, h.Schema, float(h.ZeroThreshold), h.ZeroCount, h.Count, float(h.Sum),
		spansText(h.PositiveSpans), list(h.PositiveBuckets), spansText(h.NegativeSpans), list(h.NegativeBuckets))
	pool = append(pool, h.ToFloat(nil))
	fmt.Fprintf(out, "conv %d = %s\n", len(pool)-1, text(pool[len(pool)-1]))
}

func hint() histogram.CounterResetHint {
	return histogram.CounterResetHint(random.Intn(4) * random.Intn(2))
}

func threshold() float64 {
	return pick(0, 0, 1e-128, 0.001, 0.001, 0.5, 1, 2, 2.938735877055719e-39, 0.3, random.Float64(), random.Float64()*4)
}

func floats(isCustom bool) *histogram.FloatHistogram {
	h := &histogram.FloatHistogram{
		CounterResetHint: hint(),
		Schema:           random.Int31n(13) - 4,
		Sum:              random.NormFloat64() * 100,
	}
	if random.Intn(2) == 0 {
		h.Schema = random.Int31n(4)
	}
	if random.Intn(8) == 0 {
		h.Sum = pick(math.NaN(), math.NaN(), math.Inf(1), math.Copysign(0, -1), 1e300)
	}
	scale := pick(1, 1, 1e17, 0.1)
	var counts = func(n int) (counts []float64) {
		for range n {
			count := math.Floor(random.Float64()*20) * scale
			switch random.Intn(8) {
			case 0:
				count = 0
			case 1:
				count += random.Float64()
			}
			if random.Intn(60) == 0 {
				count = pick(-3, math.NaN(), math.Copysign(0, -1), 1e308, math.Inf(1), 1e17)
			}
			counts = append(counts, count)
			h.Count += count
		}
		return counts
	}
	if isCustom {
		h.Schema = histogram.CustomBucketsSchema
		bound := pick(-5, -1, 0.5, 1, -3, -2)
		for range random.Intn(7) {
			h.CustomValues = append(h.CustomValues, bound)
			bound += pick(1, 1, 0.5, 2)
		}
		left := len(h.CustomValues) + 1
		n := 0
		for left > 0 && len(h.PositiveSpans) < 3 {
			gap := random.Intn(min(left, 3)) * random.Intn(2)
			length := 1 + random.Intn(left-gap)
			h.PositiveSpans = append(h.PositiveSpans, histogram.Span{Offset: int32(gap), Length: uint32(length)})
			left -= gap + length
			n += length
		}
		h.PositiveBuckets = counts(n)
	} else {
		h.ZeroThreshold = threshold()
		if random.Intn(3) != 0 {
			h.ZeroCount = counts(1)[0]
		}
		var n int
		if random.Intn(4) != 0 {
			h.PositiveSpans, n = layout(h.Schema)
			h.PositiveBuckets = counts(n)
		}
		if random.Intn(2) == 0 {
			h.NegativeSpans, n = layout(h.Schema)
			h.NegativeBuckets = counts(n)
		}
	}
	switch random.Intn(8) {
	case 0:
		// Observations of NaN.
		h.Count += 5
		h.Sum = math.NaN()
	case 1:
		h.Count *= 0.999
	}
	return h
}

func layout(schema int32) (spans []histogram.Span, buckets int) {
	offset := random.Intn(9) - 5
	if random.Intn(16) == 0 {
		// The last buckets, that of the infinities among them.
		offset = 1020
		if schema < 0 {
			offset >>= -schema
		} else {
			offset <<= schema
		}
		offset += random.Intn(8)
	}
	if random.Intn(20) == 0 && schema >= 0 {
		offset = -(1074 << schema)
	}
	for i := range 1 + random.Intn(4) {
		if i > 0 {
			offset = random.Intn(4)
			if random.Intn(8) == 0 {
				offset = random.Intn(200)
			}
		}
		length := random.Intn(4)
		if i == 0 {
			// Prometheus' addition does not expect a first span without buckets.
			length++
		}
		if random.Intn(8) == 0 && i > 0 {
			length = random.Intn(9)
		}
		spans = append(spans, histogram.Span{Offset: int32(offset), Length: uint32(length)})
		buckets += length
	}
	return spans, buckets
}

// wideReset returns true if there is a reset between a histogram and one with all buckets and a wider, fuller zero bucket.
func wideReset(h *histogram.FloatHistogram, threshold float64) bool {
	wide := h.Copy()
	wide.CounterResetHint, wide.ZeroThreshold = histogram.UnknownCounterReset, threshold
	wide.ZeroCount = 1e300
	return wide.DetectReset(h)
}

// boundary returns a value in the range of the histogram.
func boundary(h *histogram.FloatHistogram) float64 {
	value := pick(0, math.Inf(1), math.Inf(-1), 1, -1, 2, random.NormFloat64(), random.NormFloat64()*5, h.ZeroThreshold, -h.ZeroThreshold/2, math.NaN())
	if len(h.CustomValues) > 0 && random.Intn(6) == 0 {
		return h.CustomValues[0] - 1
	}
	if random.Intn(2) == 0 {
		n := 0
		for it := h.AllBucketIterator(); it.Next(); {
			n++
			if random.Intn(n) == 0 {
				b := it.At()
				value = pick(b.Lower, b.Upper, b.Lower+(b.Upper-b.Lower)*random.Float64())
			}
		}
	}
	return value
}

func call(function string, h *histogram.FloatHistogram) string {
	vector, _ := promql.FunctionCalls[function]([]promql.Vector{{promql.Sample{H: h}}}, nil, nil, &promql.EvalNodeHelper{})
	return float(vector[0].F)
}

// bounds returns a hash of the boundaries of 30001 buckets.
func bounds(schema int32) string {
	h := histogram.FloatHistogram{
		Schema:          schema,
		PositiveSpans:   []histogram.Span{{Offset: -15000, Length: 30001}},
		PositiveBuckets: make([]float64, 30001),
	}
	hash := fnv.New64a()
	for it := h.PositiveBucketIterator(); it.Next(); {
		fmt.Fprintf(hash, "%016x", math.Float64bits(it.At().Upper))
	}
	return fmt.Sprintf("%016x", hash.Sum64())
}

// hashes returns a hash of the results of a function.
func hashes(function func(float64) float64, first float64, value func(uint64) float64) string {
	hash := fnv.New64a()
	bits := uint64(1)
	for range 100000 {
		result := function(first)
		if !math.IsNaN(result) {
			fmt.Fprintf(hash, "%016x", math.Float64bits(result))
		}
		bits = bits*6364136223846793005 + 1442695040888963407
		first = value(bits)
	}
	return fmt.Sprintf("%016x", hash.Sum64())
}

func buckets(it histogram.BucketIterator[float64]) string {
	var texts []string
	for it.Next() {
		texts = append(texts, it.At().String())
	}
	return strings.Join(texts, ";")
}

// text returns a histogram without what Copy drops.
func text(h *histogram.FloatHistogram) string {
	h = h.Copy()
	return fmt.Sprintf("%d|%d|%s|%s|%s|%s|%s|%s|%s|%s|%s", h.CounterResetHint, h.Schema, float(h.ZeroThreshold), float(h.ZeroCount), float(h.Count),
		float(h.Sum), spansText(h.PositiveSpans), floatList(h.PositiveBuckets), spansText(h.NegativeSpans), floatList(h.NegativeBuckets), floatList(h.CustomValues))
}

func spansText(spans []histogram.Span) string {
	var texts []string
	for _, span := range spans {
		texts = append(texts, fmt.Sprintf("%d:%d", span.Offset, span.Length))
	}
	return strings.Join(texts, ",")
}

func list(values []int64) string {
	var texts []string
	for _, value := range values {
		texts = append(texts, strconv.FormatInt(value, 10))
	}
	return strings.Join(texts, ",")
}

func floatList(values []float64) string {
	var texts []string
	for _, value := range values {
		texts = append(texts, float(value))
	}
	return strings.Join(texts, ",")
}

func float(value float64) string {
	return strconv.FormatFloat(value, 'g', -1, 64)
}

func pick(values ...float64) float64 {
	return values[random.Intn(len(values))]
}
