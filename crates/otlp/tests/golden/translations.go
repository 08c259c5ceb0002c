// Writes what Prometheus' receiver of OTLP makes of metrics. In the folder of this file:
//
//	mkdir -p /tmp/otlp && cp translations.go ../../../../tests/conformance/promql/go.* /tmp/otlp/ && (cd /tmp/otlp && go mod tidy) &&
//	go run -C /tmp/otlp translations.go cases <cases.tsv >new.tsv && mv new.tsv cases.tsv &&
//	go run -C /tmp/otlp translations.go random >random.tsv && go run -C /tmp/otlp translations.go names >names.tsv
//
// The files:
//
//   - cases.tsv: a title, options, a request in JSON and the series, separated by tabs. A new row may end after the
//     request. Lines that start with "# " are comments.
//   - random.tsv: options, a request in protobuf as base64, and a hash of the series; the requests are random, but the
//     same in each run. `go run translations.go show OPTIONS REQUEST` writes the series.
//   - names.tsv: "metric", a name, its unit, its type, a strategy and the name or "error"; "unit", a unit and the name;
//     "label", a key, whether sanitization is on, whether underscores are preserved, and the name or "error".
//
// In the series each sample is a part, separated by " | ": labels, time, the bits of the value or a histogram, and its
// exemplars after "#". Then follow the entries of metadata, ordered. Other characters than ASCII letters, digits and
// "._:/" are escaped as %20 and so on.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"log"
	"math"
	"math/rand"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	switch os.Args[1] {
	case "cases":
		cases(out)
	case "random":
		randomRequests(out)
	case "names":
		names(out)
	case "show":
		request := pmetricotlp.NewExportRequest()
		body, err := base64.StdEncoding.DecodeString(os.Args[3])
		check(err)
		check(request.UnmarshalProto(body))
		fmt.Fprintln(out, strings.ReplaceAll(translate(request.Metrics(), os.Args[2]), " | ", "\n"))
	}
}

func cases(out *bufio.Writer) {
	rows := bufio.NewScanner(os.Stdin)
	rows.Buffer(nil, 1<<20)
	for rows.Scan() {
		fields := strings.Split(rows.Text(), "\t")
		if strings.HasPrefix(rows.Text(), "# ") || len(fields) < 3 {
			fmt.Fprintln(out, rows.Text())
			continue
		}
		request := pmetricotlp.NewExportRequest()
		if err := request.UnmarshalJSON([]byte(fields[2])); err != nil {
			log.Fatal(fields[0], ": ", err)
		}
		series := translate(request.Metrics(), fields[1])
		fmt.Fprintln(out, strings.Join([]string{fields[0], fields[1], fields[2], series}, "\t"))
	}
	check(rows.Err())
}

// translate returns the series of a request with options such as "strategy=NoTranslation;keep".
func translate(metrics pmetric.Metrics, options string) string {
	appender := &recorder{metadata: map[string]struct{}{}}
	converter := prometheusremotewrite.NewPrometheusConverter(appender)
	_, err := converter.FromMetrics(context.Background(), metrics, settings(options))
	if err != nil {
		return "error: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	var entries []string
	for entry := range appender.metadata {
		entries = append(entries, entry)
	}
	slices.Sort(entries)
	return strings.Join(append(appender.samples, entries...), " | ")
}

func settings(options string) prometheusremotewrite.Settings {
	cfg := config.DefaultOTLPConfig
	for option := range strings.SplitSeq(options, ";") {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "":
		case "strategy":
			cfg.TranslationStrategy = otlptranslator.TranslationStrategyOption(value)
		case "promote":
			cfg.PromoteResourceAttributes = strings.Split(value, ",")
		case "promote_all":
			cfg.PromoteAllResourceAttributes = true
		case "ignore":
			cfg.IgnoreResourceAttributes = strings.Split(value, ",")
		case "keep":
			cfg.KeepIdentifyingResourceAttributes = true
		case "nhcb":
			cfg.ConvertHistogramsToNHCB = true
		case "scope":
			cfg.PromoteScopeMetadata = true
		case "unsanitized":
			cfg.LabelNameUnderscoreSanitization = false
		case "collapsed":
			cfg.LabelNamePreserveMultipleUnderscores = false
		default:
			log.Fatal("unknown option ", option)
		}
	}
	return prometheusremotewrite.Settings{
		AddMetricSuffixes:                    cfg.TranslationStrategy.ShouldAddSuffixes(),
		AllowUTF8:                            !cfg.TranslationStrategy.ShouldEscape(),
		PromoteResourceAttributes:            prometheusremotewrite.NewPromoteResourceAttributes(cfg),
		KeepIdentifyingResourceAttributes:    cfg.KeepIdentifyingResourceAttributes,
		ConvertHistogramsToNHCB:              cfg.ConvertHistogramsToNHCB,
		PromoteScopeMetadata:                 cfg.PromoteScopeMetadata,
		LabelNameUnderscoreSanitization:      cfg.LabelNameUnderscoreSanitization,
		LabelNamePreserveMultipleUnderscores: cfg.LabelNamePreserveMultipleUnderscores,
	}
}

// recorder writes down what is appended.
type recorder struct {
	samples  []string
	metadata map[string]struct{}
}

func (r *recorder) Append(_ storage.SeriesRef, ls labels.Labels, _, t int64, v float64, h *histogram.Histogram, _ *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	sample := fmt.Sprintf("%s %d ", labelsText(ls), t)
	if h == nil {
		sample += bits(v)
	} else {
		sample += histogramText(h)
	}
	for _, e := range opts.Exemplars {
		sample += exemplarText(e)
	}
	r.samples = append(r.samples, sample)
	m := opts.Metadata
	if opts.MetricFamilyName != "" {
		r.metadata[fmt.Sprintf("meta %s %s unit=%s help=%s", escaped(opts.MetricFamilyName), m.Type, escaped(m.Unit), escaped(m.Help))] = struct{}{}
	}
	return 0, nil
}

func (*recorder) Commit() error   { return nil }
func (*recorder) Rollback() error { return nil }

func labelsText(ls labels.Labels) string {
	var texts []string
	ls.Range(func(l labels.Label) {
		texts = append(texts, escaped(l.Name)+"="+escaped(l.Value))
	})
	return "{" + strings.Join(texts, ",") + "}"
}

func exemplarText(e exemplar.Exemplar) string {
	return fmt.Sprintf(" # %s %d %s", labelsText(e.Labels), e.Ts, bits(e.Value))
}

func histogramText(h *histogram.Histogram) string {
	spans := func(spans []histogram.Span) string {
		var texts []string
		for _, span := range spans {
			texts = append(texts, fmt.Sprintf("%d:%d", span.Offset, span.Length))
		}
		return strings.Join(texts, ",")
	}
	deltas := func(deltas []int64) string {
		var texts []string
		for _, delta := range deltas {
			texts = append(texts, fmt.Sprint(delta))
		}
		return strings.Join(texts, ",")
	}
	var bounds []string
	for _, bound := range h.CustomValues {
		bounds = append(bounds, bits(bound))
	}
	return fmt.Sprintf("schema=%d count=%d sum=%s zero=%d/%s hint=%d negative=%s/%s positive=%s/%s custom=%s",
		h.Schema, h.Count, bits(h.Sum), h.ZeroCount, bits(h.ZeroThreshold), h.CounterResetHint,
		spans(h.NegativeSpans), deltas(h.NegativeBuckets), spans(h.PositiveSpans), deltas(h.PositiveBuckets), strings.Join(bounds, ","))
}

func bits(v float64) string {
	return fmt.Sprintf("%016x", math.Float64bits(v))
}

func escaped(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._:/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

const requests = 2000

var random = rand.New(rand.NewSource(1))

func pick[T any](values ...T) T {
	return values[random.Intn(len(values))]
}

// oneIn returns true once in n times.
func oneIn(n int) bool {
	return random.Intn(n) == 0
}

func randomRequests(out *bufio.Writer) {
	for range requests {
		request := pmetricotlp.NewExportRequestFromMetrics(randomMetrics())
		body, err := request.MarshalProto()
		check(err)
		// As a receiver has it.
		request = pmetricotlp.NewExportRequest()
		check(request.UnmarshalProto(body))
		options := randomOptions()
		series := translate(request.Metrics(), options)
		if strings.HasPrefix(series, "error: ") {
			series = "error"
		} else {
			hash := fnv.New64a()
			hash.Write([]byte(series))
			series = fmt.Sprintf("%016x", hash.Sum64())
		}
		fmt.Fprintf(out, "%s\t%s\t%s\n", options, base64.StdEncoding.EncodeToString(body), series)
	}
}

func randomOptions() string {
	options := []string{"strategy=" + pick("UnderscoreEscapingWithSuffixes", "UnderscoreEscapingWithSuffixes", "UnderscoreEscapingWithoutSuffixes", "NoUTF8EscapingWithSuffixes", "NoTranslation")}
	switch random.Intn(4) {
	case 0:
		options = append(options, "promote="+pick("host.name", "host.name,a.b,service.name", "a-b,a.b,job"))
	case 1:
		options = append(options, "promote_all")
		if oneIn(2) {
			options = append(options, "ignore="+pick("host.name", "service.name,a.b"))
		}
	}
	for _, option := range []string{"keep", "nhcb", "scope", "unsanitized", "collapsed"} {
		if oneIn(3) {
			options = append(options, option)
		}
	}
	return strings.Join(options, ";")
}

func randomMetrics() pmetric.Metrics {
	base = start
	if oneIn(10) {
		base = pick[uint64](0, 999_999, 1<<63, math.MaxUint64-1_500_000_000_000)
	}
	metrics := pmetric.NewMetrics()
	for range pick(1, 1, 1, 2) {
		resource := metrics.ResourceMetrics().AppendEmpty()
		randomAttributes(resource.Resource().Attributes(), "service.name", "service.namespace", "service.instance.id", "host.name", "job", "a.b", "a-b")
		for range pick(1, 1, 1, 2) {
			scope := resource.ScopeMetrics().AppendEmpty()
			if oneIn(2) {
				scope.Scope().SetName(pick("", "lib", "a/b"))
				scope.Scope().SetVersion(pick("", "1.2"))
				scope.SetSchemaUrl(pick("", "http://s/1"))
				randomAttributes(scope.Scope().Attributes(), "name", "version", "x.y", "_", "host.name")
			}
			for range pick(0, 1, 1, 2) {
				randomMetric(scope.Metrics().AppendEmpty())
			}
		}
	}
	return metrics
}

func randomAttributes(attributes pcommon.Map, keys ...string) {
	for range random.Intn(5) {
		key := pick(keys...)
		if _, ok := attributes.Get(key); !ok {
			randomValue(attributes.PutEmpty(key), 2)
		}
	}
}

func randomDouble() float64 {
	switch random.Intn(6) {
	case 0:
		return pick(math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 1e21, 1e-7, 123456789e30)
	case 1:
		return math.Float64frombits(random.Uint64())
	default:
		return float64(random.Intn(2000)-1000) / float64(pick(1, 3, 10, 128))
	}
}

func randomText() string {
	return pick("", "a", "b", "GET", "x y", "é", "\"q\"\\\n\t", "<&>", "\u2028\x01\b\f", "0", "a;b")
}

func randomValue(value pcommon.Value, depth int) {
	switch random.Intn(12) {
	case 0:
	case 1:
		value.SetBool(oneIn(2))
	case 2:
		value.SetInt(pick(0, 1, -1, math.MaxInt64, math.MinInt64, int64(random.Intn(1000))))
	case 3:
		value.SetDouble(randomDouble())
	case 4:
		value.SetEmptyBytes().FromRaw([]byte(randomText()))
	case 5:
		slice := value.SetEmptySlice()
		for range random.Intn(3) {
			if depth > 0 {
				randomValue(slice.AppendEmpty(), depth-1)
			}
		}
	case 6:
		values := value.SetEmptyMap()
		for range random.Intn(3) {
			key := pick("", "k", "a", "é\"")
			if _, ok := values.Get(key); !ok && depth > 0 {
				randomValue(values.PutEmpty(key), depth-1)
			}
		}
	default:
		value.SetStr(randomText())
	}
}

const start = 1_700_000_000_000_000_000

// base is the first time of a request. Times that are far apart would make millions of samples of target_info.
var base uint64

func randomTime() pcommon.Timestamp {
	if oneIn(4) {
		return pcommon.Timestamp(base)
	}
	return pcommon.Timestamp(base + uint64(random.Intn(1_000_000_000_000)))
}

func randomFlags() pmetric.DataPointFlags {
	return pmetric.DataPointFlags(pick[uint32](0, 0, 0, 0, 0, 0, 1, 2, 3))
}

func randomPointAttributes(attributes pcommon.Map) {
	randomAttributes(attributes, "a", "a.b", "a-b", "a_b", "b", "http.method", "_x", "__y", "__y__", "1z", "é", "le", "quantile", "job", "instance", "host.name", "__name__", "--name--", "otel_scope_name", "Upper", "a__b")
	if oneIn(60) {
		attributes.PutStr(pick("", "_", "__", "___", "é"), "x")
	}
}

func randomExemplars(exemplars pmetric.ExemplarSlice) {
	for range random.Intn(3) {
		if oneIn(2) {
			continue
		}
		e := exemplars.AppendEmpty()
		e.SetTimestamp(randomTime())
		if oneIn(2) {
			e.SetDoubleValue(randomDouble())
		} else {
			e.SetIntValue(int64(random.Intn(20) - 5))
		}
		if oneIn(2) {
			var id pcommon.TraceID
			random.Read(id[:])
			e.SetTraceID(id)
		}
		if oneIn(2) {
			var id pcommon.SpanID
			random.Read(id[:])
			e.SetSpanID(id)
		}
		randomAttributes(e.FilteredAttributes(), "user", "é", "span_id", "a.b")
		if oneIn(4) {
			e.FilteredAttributes().PutStr("long", strings.Repeat("é", 20+random.Intn(60)))
		}
	}
}

func randomMetric(metric pmetric.Metric) {
	metric.SetName(pick("a", "http.server.duration", "requests_total", "requests.total", "total.requests", "ratio", "x_seconds", "bytes_per_second", "1st", "é", "a__b", "_a", "a:b", "a.bytes", "f.ratio.x", "per_second", "a_ratio", "system.cpu.time"))
	if oneIn(60) {
		metric.SetName(pick("", "_", "___", "éé", "total"))
	}
	metric.SetDescription(pick("", "help", "more\nhelp"))
	metric.SetUnit(pick("", "1", "s", "ms", "By", "By/s", "{requests}", "{requests}/s", "%", "m/h", "1/s", " s ", "foo bar", "/s", "a__b", "_/_", "ab/cd", "total", "Cel/mo", "é"))
	temporality := pmetric.AggregationTemporalityCumulative
	if oneIn(50) {
		temporality = pick(pmetric.AggregationTemporalityDelta, pmetric.AggregationTemporalityUnspecified)
	}
	points := pick(0, 1, 1, 1, 2, 3)
	switch random.Intn(6) {
	case 0:
		gauge := metric.SetEmptyGauge()
		for range points {
			randomNumber(gauge.DataPoints().AppendEmpty())
		}
	case 1:
		sum := metric.SetEmptySum()
		sum.SetIsMonotonic(oneIn(2))
		sum.SetAggregationTemporality(temporality)
		for range points {
			randomNumber(sum.DataPoints().AppendEmpty())
		}
	case 2:
		h := metric.SetEmptyHistogram()
		h.SetAggregationTemporality(temporality)
		for range points {
			randomHistogram(h.DataPoints().AppendEmpty())
		}
	case 3, 4:
		h := metric.SetEmptyExponentialHistogram()
		h.SetAggregationTemporality(temporality)
		for range points {
			randomExponential(h.DataPoints().AppendEmpty())
		}
	case 5:
		summary := metric.SetEmptySummary()
		for range points {
			point := summary.DataPoints().AppendEmpty()
			randomPointAttributes(point.Attributes())
			point.SetTimestamp(randomTime())
			point.SetFlags(randomFlags())
			point.SetCount(random.Uint64())
			point.SetSum(randomDouble())
			for range random.Intn(4) {
				quantile := point.QuantileValues().AppendEmpty()
				quantile.SetQuantile(pick(0, 0.5, 0.99, 1, 1e-9, randomDouble()))
				quantile.SetValue(randomDouble())
			}
		}
	}
}

func randomNumber(point pmetric.NumberDataPoint) {
	randomPointAttributes(point.Attributes())
	point.SetTimestamp(randomTime())
	point.SetFlags(randomFlags())
	switch random.Intn(5) {
	case 0:
	case 1:
		point.SetIntValue(int64(random.Uint64()))
	default:
		point.SetDoubleValue(randomDouble())
	}
	randomExemplars(point.Exemplars())
}

func randomHistogram(point pmetric.HistogramDataPoint) {
	randomPointAttributes(point.Attributes())
	point.SetTimestamp(randomTime())
	point.SetFlags(randomFlags())
	point.SetCount(uint64(random.Intn(100)))
	if !oneIn(4) {
		point.SetSum(randomDouble())
	}
	bound := float64(-random.Intn(5))
	for range random.Intn(5) {
		bound += pick(0.1, 0.25, 1, 5, 1e22)
		point.ExplicitBounds().Append(bound)
	}
	counts := point.ExplicitBounds().Len() + 1
	if oneIn(8) {
		counts = random.Intn(7)
	}
	for range counts {
		point.BucketCounts().Append(pick[uint64](0, 0, 0, 1, 7, uint64(random.Intn(1000))))
	}
	if oneIn(6) {
		point.ExplicitBounds().Append(pick(math.Inf(1), math.NaN(), 0))
	}
	randomExemplars(point.Exemplars())
}

func randomExponential(point pmetric.ExponentialHistogramDataPoint) {
	randomPointAttributes(point.Attributes())
	point.SetTimestamp(randomTime())
	point.SetFlags(randomFlags())
	point.SetCount(uint64(random.Intn(100)))
	point.SetZeroCount(uint64(random.Intn(3)))
	point.SetZeroThreshold(float64(random.Intn(2)))
	point.SetScale(int32(random.Intn(25) - 4))
	if oneIn(40) {
		point.SetScale(pick[int32](-5, math.MinInt32, math.MaxInt32, 50))
	}
	if !oneIn(4) {
		point.SetSum(randomDouble())
	}
	for _, buckets := range []pmetric.ExponentialHistogramDataPointBuckets{point.Positive(), point.Negative()} {
		buckets.SetOffset(int32(random.Intn(100) - 50))
		if oneIn(20) {
			buckets.SetOffset(pick[int32](math.MaxInt32, math.MinInt32, math.MaxInt32-3))
		}
		for range random.Intn(3) {
			for range random.Intn(8) {
				buckets.BucketCounts().Append(uint64(random.Intn(5)))
			}
			for range random.Intn(8) {
				buckets.BucketCounts().Append(0)
			}
		}
		if oneIn(30) {
			buckets.BucketCounts().Append(math.MaxUint64, 1<<63)
		}
	}
	randomExemplars(point.Exemplars())
}

func names(out *bufio.Writer) {
	metricNames := []string{
		"a", "", "_", "___", "__a__b__", "total", "requests_total", "requests.total", "total.requests", "f.total.requests.total", "totals",
		"ratio", "x_ratio", "ratio.x", "_total", "x_total", "seconds", "x_seconds", "x.seconds.total", "bytes", "x_bytes_per_second", "per_second",
		"x.per_second", "1st", "1", "9_a", ":a:", "a:b", "a b", "a  b", "é", "é_total", "xé_total", "aé.b", "a-b", "system.cpu.time", "http.server.duration",
		"A.B", "x_percent", "a/b", "x_s", "\u6f22\u5b57", "a.\u6f22", "x_count", "x_", "_x", "per_", "x_kilobytes_total",
	}
	units := []string{
		"", "1", "s", "ms", "By", "d", "h", "min", "us", "ns", "KiBy", "MiBy", "GiBy", "TiBy", "KBy", "MBy", "GBy", "TBy", "m", "V", "A", "J", "W",
		"g", "Cel", "Hz", "%", "By/s", "m/h", "s/m", "1/d", "a/w", "a/mo", "a/y", "By/By", "{x}", "{x}/s", "s/{x}", "By{x}", "/s", "s/", "/", " s / m ",
		"foo", "foo bar", "a__b", "_a_", "a/b/c", "a/_", "_/a", "__", "total", "x/total", "é", "é/é", "a_/b", "a//b", "\u00a0s", "per_second", "kBy", "S",
		"s}", "}/{", "1/1", "ratio", "a\tb", "(x)/s", "10^3.m",
	}
	types := []struct {
		name string
		kind otlptranslator.MetricType
	}{
		{"counter", otlptranslator.MetricTypeMonotonicCounter},
		{"gauge", otlptranslator.MetricTypeGauge},
		{"other", otlptranslator.MetricTypeHistogram},
	}
	strategies := []otlptranslator.TranslationStrategyOption{
		otlptranslator.UnderscoreEscapingWithSuffixes, otlptranslator.UnderscoreEscapingWithoutSuffixes,
		otlptranslator.NoUTF8EscapingWithSuffixes, otlptranslator.NoTranslation,
	}
	metric := func(name, unit string, types_ int, strategy otlptranslator.TranslationStrategyOption) {
		kind := types[types_]
		namer := otlptranslator.NewMetricNamer("", strategy)
		result, err := namer.Build(otlptranslator.Metric{Name: name, Unit: unit, Type: kind.kind})
		if err != nil {
			result = "error"
		} else {
			result = "=" + escaped(result)
		}
		fmt.Fprintln(out, strings.Join([]string{"metric", escaped(name), escaped(unit), kind.name, string(strategy), result}, "\t"))
	}
	for _, name := range metricNames {
		for kind := range types {
			metric(name, "1", kind, strategies[0])
			metric(name, "1", kind, strategies[2])
			metric(name, "By/s", kind, strategies[0])
			metric(name, "By/s", kind, strategies[2])
			metric(name, "s", kind, strategies[0])
			metric(name, "s", kind, strategies[2])
		}
		metric(name, "s", 0, strategies[1])
		metric(name, "s", 0, strategies[3])
	}
	for _, unit := range units {
		for kind := range types {
			metric("x", unit, kind, strategies[0])
			metric("x", unit, kind, strategies[2])
		}
		metric("x.per_second.bytes_s", unit, 0, strategies[0])
		metric("x.per_second.bytes_s", unit, 0, strategies[2])
	}
	unitNamer := otlptranslator.UnitNamer{}
	for _, unit := range units {
		fmt.Fprintln(out, strings.Join([]string{"unit", escaped(unit), "=" + escaped(unitNamer.Build(unit))}, "\t"))
	}
	keys := []string{
		"", "a", "_", "__", "___", "____", "_____", "__a", "__a__", "__a.b__", "__a--b__", "_a", "a_", "a__b", "a..b", "a.b", "1", "1a", "-1", "-a", "--a",
		"a-", "é", "éa", "aé", ":", "a:b", "_1", "__1", "__.__", "__.1.__", "A", "Z9", "a b", "\u6f22", "le", "__name__", "--name--", "_.a", "._a", "__-", "-__", "a.", ".",
	}
	for _, key := range keys {
		for options := range 5 {
			namer := otlptranslator.LabelNamer{
				UTF8Allowed:                 options == 4,
				UnderscoreLabelSanitization: options&1 == 0,
				PreserveMultipleUnderscores: options&2 == 0,
			}
			result, err := namer.Build(key)
			if err != nil {
				result = "error"
			} else {
				result = "=" + escaped(result)
			}
			fmt.Fprintln(out, strings.Join([]string{"label", escaped(key),
				fmt.Sprintf("utf8=%t,sanitization=%t,preserve=%t", namer.UTF8Allowed, namer.UnderscoreLabelSanitization, namer.PreserveMultipleUnderscores), result}, "\t"))
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
