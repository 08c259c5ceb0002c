// Writes the verdict of Prometheus on each native histogram of histograms.txt. The histograms go through the message
// of remote write, like those that Prometheus' receiver gets, and then to Validate of an integer or float histogram.
//
//	mkdir -p /tmp/validate && cp validate.go histograms.txt /tmp/validate/ && cd /tmp/validate && go mod init validate &&
//	go get github.com/prometheus/prometheus@v0.315.0 && go mod tidy && go run . <histograms.txt >new.txt
//
// New cases need no verdict; all other lines stay as they are. The first lines of histograms.txt explain the syntax.
package main

import (
	"bufio"
	"fmt"
	"log"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/prompb"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "= ") {
			continue
		}
		fmt.Println(line)
		if fields, ok := strings.CutPrefix(line, "| "); ok {
			fmt.Printf("= %s\n", verdict(read(strings.Fields(fields))))
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

func verdict(h prompb.Histogram) string {
	var err error
	if h.IsFloatHistogram() {
		err = h.ToFloatHistogram().Validate()
	} else {
		err = h.ToIntHistogram().Validate()
	}
	if err != nil {
		return err.Error()
	}
	return "valid"
}

func read(fields []string) prompb.Histogram {
	var h prompb.Histogram
	for _, field := range fields {
		name, text, _ := strings.Cut(field, "=")
		switch name {
		case "schema":
			h.Schema = int32(integer(text))
		case "count":
			h.Count = &prompb.Histogram_CountInt{CountInt: whole(text)}
		case "count_float":
			h.Count = &prompb.Histogram_CountFloat{CountFloat: float(text)}
		case "sum":
			h.Sum = float(text)
		case "threshold":
			h.ZeroThreshold = float(text)
		case "zero":
			h.ZeroCount = &prompb.Histogram_ZeroCountInt{ZeroCountInt: whole(text)}
		case "zero_float":
			h.ZeroCount = &prompb.Histogram_ZeroCountFloat{ZeroCountFloat: float(text)}
		case "spans":
			h.PositiveSpans = list(text, span)
		case "deltas":
			h.PositiveDeltas = list(text, integer)
		case "counts":
			h.PositiveCounts = list(text, float)
		case "neg_spans":
			h.NegativeSpans = list(text, span)
		case "neg_deltas":
			h.NegativeDeltas = list(text, integer)
		case "neg_counts":
			h.NegativeCounts = list(text, float)
		case "custom":
			h.CustomValues = list(text, float)
		default:
			log.Fatalf("no such field: %s", field)
		}
	}
	return h
}

func list[T any](text string, of func(string) T) []T {
	var all []T
	for _, part := range strings.Split(text, ",") {
		all = append(all, of(part))
	}
	return all
}

func span(text string) prompb.BucketSpan {
	offset, length, _ := strings.Cut(text, ":")
	return prompb.BucketSpan{Offset: int32(integer(offset)), Length: uint32(whole(length))}
}

func whole(text string) uint64 {
	return must(strconv.ParseUint(text, 10, 64))
}

func integer(text string) int64 {
	return must(strconv.ParseInt(text, 10, 64))
}

func float(text string) float64 {
	if text == "stale" {
		return math.Float64frombits(0x7ff0000000000002)
	}
	return must(strconv.ParseFloat(text, 64))
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
