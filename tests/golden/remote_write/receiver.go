// Sends the cases of cases.txt to Prometheus' own receiver, over an empty storage each, in both
// versions of remote write, and prints the bytes of each message, the response and what is stored.
// prometheus.txt beside it is its output:
//
//	cp receiver.go cases.txt /tmp/receiver/ && cd /tmp/receiver && go mod init receiver &&
//	go get github.com/prometheus/prometheus@v0.315.0 && go mod tidy &&
//	go run . cases.txt >prometheus.txt
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/golang/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// start is the time of the neighbours of each case.
const start = 1_600_000_000_000

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// testCase is one of the file: its title and the lines that say what is sent.
type testCase struct {
	title string
	lines []string
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	check(err)
	var cases []testCase
	for _, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "--- "):
			cases = append(cases, testCase{title: line[4:]})
		case strings.HasPrefix(line, "| ") && len(cases) > 0:
			last := &cases[len(cases)-1]
			last.lines = append(last.lines, line[2:])
		}
	}
	for _, it := range cases {
		fmt.Printf("--- %s\n", it.title)
		for _, line := range it.lines {
			fmt.Printf("| %s\n", line)
		}
		for version := 1; version <= 2; version++ {
			if message, ok := encode(it, version); ok {
				send(version, message)
			}
		}
	}
}

// label is a name and a value, of any bytes.
type label [2]string

// series is one that is being put together, in the form of either version.
type series struct {
	labels     []label
	refs       []uint32
	hasRefs    bool
	samples    []writev2.Sample
	histograms []writev2.Histogram
	exemplars  []exemplar
	metadata   *metadata
}

type exemplar struct {
	labels  []label
	refs    []uint32
	hasRefs bool
	time    int64
	value   float64
}

type metadata struct {
	family, help, unit string
	kind               int32
	helpRef, unitRef   uint32
	hasRefs            bool
}

// encode returns the message of a version, and whether the case is one for this version.
func encode(it testCase, version int) ([]byte, bool) {
	var all []*series
	var symbols []string
	alone, hasSymbols := false, false
	var last *series
	for _, line := range it.lines {
		words := split(line)
		arguments := words[1:]
		switch words[0] {
		case "only":
			if arguments[0] != strconv.Itoa(version) {
				return nil, false
			}
		case "alone":
			alone = true
		case "symbols":
			hasSymbols = true
			for _, word := range arguments {
				symbols = append(symbols, unquote(word))
			}
		case "series":
			last = &series{labels: labelsOf(arguments)}
			all = append(all, last)
		case "refs":
			last = &series{refs: numbers(arguments), hasRefs: true}
			all = append(all, last)
		case "sample":
			sample := writev2.Sample{Timestamp: integer(arguments[0]), Value: float(arguments[1])}
			if len(arguments) > 2 {
				sample.StartTimestamp = integer(arguments[2])
			}
			last.samples = append(last.samples, sample)
		case "histogram":
			last.histograms = append(last.histograms, histogramOf(arguments))
		case "exemplar", "exemplar-refs":
			read := exemplar{time: integer(arguments[0]), value: float(arguments[1])}
			if words[0] == "exemplar" {
				read.labels = labelsOf(arguments[2:])
			} else {
				read.refs, read.hasRefs = numbers(arguments[2:]), true
			}
			last.exemplars = append(last.exemplars, read)
		case "metadata":
			last.metadata = &metadata{
				family: unquote(arguments[0]),
				kind:   int32(integer(arguments[1])),
				help:   unquote(arguments[2]),
				unit:   unquote(arguments[3]),
			}
		case "metadata-refs":
			refs := numbers(arguments)
			last.metadata = &metadata{helpRef: refs[0], unitRef: refs[1], hasRefs: true}
		default:
			log.Fatalf("%s: %s", it.title, line)
		}
	}
	if !alone {
		all = append([]*series{neighbour("first")}, append(all, neighbour("last"))...)
	}
	if version == 1 {
		return version1(all), true
	}
	return version2(all, symbols, hasSymbols), true
}

func neighbour(name string) *series {
	return &series{
		labels:  []label{{"__name__", name}},
		samples: []writev2.Sample{{Timestamp: start, Value: 1}},
	}
}

func version1(all []*series) []byte {
	var request prompb.WriteRequest
	convert := func(all []label) (converted []prompb.Label) {
		for _, it := range all {
			converted = append(converted, prompb.Label{Name: it[0], Value: it[1]})
		}
		return converted
	}
	for _, it := range all {
		message := prompb.TimeSeries{Labels: convert(it.labels)}
		for _, sample := range it.samples {
			message.Samples = append(message.Samples, prompb.Sample{Timestamp: sample.Timestamp, Value: sample.Value})
		}
		for _, h := range it.histograms {
			// The messages have the same fields, but for the start timestamp.
			h.StartTimestamp = 0
			encoded, err := h.Marshal()
			check(err)
			var same prompb.Histogram
			check(same.Unmarshal(encoded))
			message.Histograms = append(message.Histograms, same)
		}
		for _, e := range it.exemplars {
			message.Exemplars = append(message.Exemplars, prompb.Exemplar{Labels: convert(e.labels), Value: e.value, Timestamp: e.time})
		}
		request.Timeseries = append(request.Timeseries, message)
		if m := it.metadata; m != nil {
			request.Metadata = append(request.Metadata, prompb.MetricMetadata{
				Type: prompb.MetricMetadata_MetricType(m.kind), MetricFamilyName: m.family, Help: m.help, Unit: m.unit,
			})
		}
	}
	encoded, err := request.Marshal()
	check(err)
	return encoded
}

func version2(all []*series, symbols []string, hasSymbols bool) []byte {
	known := map[string]uint32{}
	if !hasSymbols {
		symbols = []string{""}
	}
	for i, symbol := range symbols {
		if _, ok := known[symbol]; !ok {
			known[symbol] = uint32(i)
		}
	}
	ref := func(text string) uint32 {
		if _, ok := known[text]; !ok {
			known[text] = uint32(len(symbols))
			symbols = append(symbols, text)
		}
		return known[text]
	}
	refs := func(all []label) (refs []uint32) {
		for _, it := range all {
			refs = append(refs, ref(it[0]), ref(it[1]))
		}
		return refs
	}
	var request writev2.Request
	for _, it := range all {
		message := writev2.TimeSeries{LabelsRefs: it.refs, Samples: it.samples, Histograms: it.histograms}
		if !it.hasRefs {
			message.LabelsRefs = refs(it.labels)
		}
		for _, e := range it.exemplars {
			labels := e.refs
			if !e.hasRefs {
				labels = refs(e.labels)
			}
			message.Exemplars = append(message.Exemplars, writev2.Exemplar{LabelsRefs: labels, Value: e.value, Timestamp: e.time})
		}
		if m := it.metadata; m != nil {
			message.Metadata.Type = writev2.Metadata_MetricType(m.kind)
			message.Metadata.HelpRef, message.Metadata.UnitRef = m.helpRef, m.unitRef
			if !m.hasRefs {
				message.Metadata.HelpRef, message.Metadata.UnitRef = ref(m.help), ref(m.unit)
			}
		}
		request.Timeseries = append(request.Timeseries, message)
	}
	request.Symbols = symbols
	encoded, err := request.Marshal()
	check(err)
	return encoded
}

// histogramOf reads fields such as schema=0, count=3 or 3.5 (which makes all counts floats),
// pos=OFFSET:LENGTH,OFFSET:LENGTH/BUCKET,BUCKET: spans and deltas, or counts.
func histogramOf(words []string) writev2.Histogram {
	read := writev2.Histogram{Timestamp: integer(words[0])}
	isFloat := false
	for _, word := range words[1:] {
		if word == "float" {
			isFloat = true
		}
	}
	side := func(text string) (spans []writev2.BucketSpan, deltas []int64, counts []float64) {
		spanText, bucketText, _ := strings.Cut(text, "/")
		for _, span := range parts(spanText) {
			offset, length, _ := strings.Cut(span, ":")
			spans = append(spans, writev2.BucketSpan{Offset: int32(integer(offset)), Length: uint32(integer(length))})
		}
		for _, bucket := range parts(bucketText) {
			if isFloat {
				counts = append(counts, float(bucket))
			} else {
				deltas = append(deltas, integer(bucket))
			}
		}
		return spans, deltas, counts
	}
	for _, word := range words[1:] {
		key, text, _ := strings.Cut(word, "=")
		switch key {
		case "float":
		case "schema":
			read.Schema = int32(integer(text))
		case "sum":
			read.Sum = float(text)
		case "threshold":
			read.ZeroThreshold = float(text)
		case "hint":
			read.ResetHint = writev2.Histogram_ResetHint(integer(text))
		case "custom":
			for _, bound := range parts(text) {
				read.CustomValues = append(read.CustomValues, float(bound))
			}
		case "start":
			read.StartTimestamp = integer(text)
		case "count":
			if isFloat {
				read.Count = &writev2.Histogram_CountFloat{CountFloat: float(text)}
			} else {
				read.Count = &writev2.Histogram_CountInt{CountInt: uint64(integer(text))}
			}
		case "zero":
			if isFloat {
				read.ZeroCount = &writev2.Histogram_ZeroCountFloat{ZeroCountFloat: float(text)}
			} else {
				read.ZeroCount = &writev2.Histogram_ZeroCountInt{ZeroCountInt: uint64(integer(text))}
			}
		case "pos":
			read.PositiveSpans, read.PositiveDeltas, read.PositiveCounts = side(text)
		case "neg":
			read.NegativeSpans, read.NegativeDeltas, read.NegativeCounts = side(text)
		default:
			log.Fatalf("no field of a histogram: %s", word)
		}
	}
	return read
}

func parts(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func integer(text string) int64 {
	number, err := strconv.ParseInt(text, 10, 64)
	check(err)
	return number
}

// float reads a number, or the bits of one, as bits:7ff0000000000002.
func float(text string) float64 {
	if digits, ok := strings.CutPrefix(text, "bits:"); ok {
		bits, err := strconv.ParseUint(digits, 16, 64)
		check(err)
		return math.Float64frombits(bits)
	}
	number, err := strconv.ParseFloat(text, 64)
	check(err)
	return number
}

func numbers(words []string) []uint32 {
	numbers := []uint32{}
	for _, word := range words {
		number, err := strconv.ParseUint(word, 10, 32)
		check(err)
		numbers = append(numbers, uint32(number))
	}
	return numbers
}

func labelsOf(words []string) (all []label) {
	for _, word := range words {
		name, value, ok := strings.Cut(word, "\"=\"")
		if !ok {
			log.Fatalf("no label: %s", word)
		}
		all = append(all, label{unquote(name + "\""), unquote("\"" + value)})
	}
	return all
}

// split cuts a line at the spaces that are not between quotes.
func split(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(character rune) bool {
		if character == '"' {
			quoted = !quoted
		}
		return character == ' ' && !quoted
	})
}

// unquote returns the bytes of a text: ‹c3 a9› are bytes, ‹61*300› is one 300 times.
func unquote(word string) string {
	text := strings.TrimSuffix(strings.TrimPrefix(word, "\""), "\"")
	pieces := strings.Split(text, "‹")
	unquoted := pieces[0]
	for _, piece := range pieces[1:] {
		digits, rest, ok := strings.Cut(piece, "›")
		if !ok {
			log.Fatalf("no end: %s", word)
		}
		for _, one := range strings.Fields(digits) {
			digits, times, _ := strings.Cut(one, "*")
			if times == "" {
				times = "1"
			}
			number, err := strconv.ParseUint(digits, 16, 8)
			check(err)
			unquoted += strings.Repeat(string([]byte{byte(number)}), int(integer(times)))
		}
		unquoted += rest
	}
	return unquoted
}

// quote writes texts as both sides of the comparison do.
func quote(text string) string {
	var quoted strings.Builder
	quoted.WriteByte('"')
	for len(text) > 0 {
		character, size := utf8.DecodeRuneInString(text)
		if character < ' ' || character == '"' || character == utf8.RuneError && size == 1 {
			fmt.Fprintf(&quoted, "‹%02x›", text[0])
		} else {
			quoted.WriteString(text[:size])
		}
		text = text[size:]
	}
	quoted.WriteByte('"')
	return quoted.String()
}

func braces(all labels.Labels) string {
	var texts []string
	all.Range(func(it labels.Label) {
		texts = append(texts, quote(it.Name)+"="+quote(it.Value))
	})
	sort.Strings(texts)
	return "{" + strings.Join(texts, ",") + "}"
}

func bits(value float64) string {
	return fmt.Sprintf("%016x", math.Float64bits(value))
}

// send hands a message to a receiver with a storage of its own, and prints what becomes of it.
func send(version int, message []byte) {
	folder, err := os.MkdirTemp("", "receiver")
	check(err)
	defer os.RemoveAll(folder)
	options := tsdb.DefaultOptions()
	options.EnableExemplarStorage = true
	options.MaxExemplars = 1_000
	silent := slog.New(slog.DiscardHandler)
	db, err := tsdb.Open(folder, silent, prometheus.NewRegistry(), options, nil)
	check(err)
	defer db.Close()
	accepted := remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType}
	receiver := remote.NewWriteHandler(silent, prometheus.NewRegistry(), db, accepted, false, false, false)
	request := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(snappy.Encode(nil, message)))
	request.Header.Set("Content-Encoding", "snappy")
	request.Header.Set("Content-Type", "application/x-protobuf")
	if version == 2 {
		request.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
	}
	response := httptest.NewRecorder()
	receiver.ServeHTTP(response, request)

	fmt.Printf("%d message %x\n", version, message)
	if text := strings.TrimSpace(response.Body.String()); text != "" {
		fmt.Printf("%d text %s\n", version, strconv.QuoteToASCII(text))
	}
	fmt.Printf("%d status %d\n", version, response.Code)
	if version == 2 {
		counts := ""
		for _, kind := range []string{"Samples", "Histograms", "Exemplars"} {
			counts += " " + response.Header().Get("X-Prometheus-Remote-Write-"+kind+"-Written")
		}
		fmt.Printf("%d written%s\n", version, counts)
	}
	lines := stored(db)
	sort.Strings(lines)
	for _, line := range lines {
		fmt.Printf("%d %s\n", version, line)
	}
}

func stored(db *tsdb.DB) (lines []string) {
	querier, err := db.Querier(math.MinInt64, math.MaxInt64)
	check(err)
	defer querier.Close()
	all := labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*")
	set := querier.Select(context.Background(), true, nil, all)
	for set.Next() {
		name := braces(set.At().Labels())
		samples := set.At().Iterator(nil)
		for {
			switch samples.Next() {
			case chunkenc.ValNone:
				check(samples.Err())
			case chunkenc.ValFloat:
				time, value := samples.At()
				lines = append(lines, fmt.Sprintf("sample %s %d %s", name, time, bits(value)))
				continue
			default:
				time, h := samples.AtFloatHistogram(nil)
				lines = append(lines, fmt.Sprintf("histogram %s %d schema %d count %s sum %s zero %s",
					name, time, h.Schema, bits(h.Count), bits(h.Sum), bits(h.ZeroCount)))
				continue
			}
			break
		}
	}
	check(set.Err())
	exemplars, err := db.ExemplarQuerier(context.Background())
	check(err)
	found, err := exemplars.Select(math.MinInt64, math.MaxInt64, []*labels.Matcher{all})
	check(err)
	for _, of := range found {
		for _, it := range of.Exemplars {
			lines = append(lines, fmt.Sprintf("exemplar %s %d %s %s", braces(of.SeriesLabels), it.Ts, bits(it.Value), braces(it.Labels)))
		}
	}
	return lines
}
