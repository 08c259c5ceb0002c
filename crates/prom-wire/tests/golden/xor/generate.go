// Prints XOR chunks made by Prometheus' own encoder, one a line: a name, the samples as
// milliseconds:bits with commas between them, and the chunk. vectors.txt beside it is its output:
//
//	cp generate.go /tmp/xor/ && cd /tmp/xor && go mod init xor &&
//	go get github.com/prometheus/prometheus@v0.315.0 && go mod tidy && go run . >vectors.txt
package main

import (
	"fmt"
	"math"
	"math/rand"
	"strings"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

type sample struct {
	time int64
	bits uint64
}

func of(time int64, value float64) sample {
	return sample{time, math.Float64bits(value)}
}

func show(name string, samples []sample) {
	chunk := chunkenc.NewXORChunk()
	appender, err := chunk.Appender()
	if err != nil {
		panic(err)
	}
	texts := make([]string, 0, len(samples))
	for _, s := range samples {
		appender.Append(0, s.time, math.Float64frombits(s.bits))
		texts = append(texts, fmt.Sprintf("%d:%x", s.time, s.bits))
	}
	fmt.Printf("%s %s %x\n", name, strings.Join(texts, ","), chunk.Bytes())
}

// repeated makes samples 15 s apart, whose values are value(i).
func repeated(count int, value func(i int) float64) []sample {
	var all []sample
	for i := range count {
		all = append(all, of(start+int64(i)*15_000, value(i)))
	}
	return all
}

const start = 1_600_000_000_000

func main() {
	random := rand.New(rand.NewSource(1))
	show("one", []sample{of(start, 1)})
	show("two", []sample{of(start, 1), of(start+1, 2)})
	show("negative_time", []sample{of(-5, 1), of(-1, 1), of(0, 1), of(3, 1)})
	show("zero_time", []sample{of(0, 0), of(1, 0)})
	show("ends_of_time", []sample{
		of(math.MinInt64, 1), of(math.MinInt64+1, 1), of(0, 1), of(math.MaxInt64, 1),
	})
	// Changes of distance at the ends of each width.
	for _, limit := range []int64{0, 1, 8191, 8192, 8193, 65535, 65536, 65537, 524287, 524288, 524289, 1 << 31} {
		const distance = 1 << 33
		time := int64(start)
		samples := []sample{of(time, 1)}
		for _, step := range []int64{distance, distance + limit, distance, distance - limit, distance} {
			time += step
			samples = append(samples, of(time, 1))
		}
		show(fmt.Sprintf("change_%d", limit), samples)
	}
	special := []uint64{
		0x7ff0000000000002, 0x7ff8000000000001, 0xfff8deadbeef0001,
		math.Float64bits(math.Inf(1)), math.Float64bits(math.Inf(-1)),
		math.Float64bits(math.Copysign(0, -1)), 0, 1, math.MaxUint64, 0x7fefffffffffffff, 0x0010000000000000,
	}
	var samples []sample
	for i, bits := range special {
		samples = append(samples, sample{start + int64(i)*15_000, bits})
	}
	show("special_values", samples)
	// One bit, anywhere: windows that fit and that do not.
	samples = nil
	var bits uint64
	for i := range 100 {
		bits ^= 1 << ((i * 37) % 64)
		samples = append(samples, sample{start + int64(i)*1_000, bits})
	}
	show("single_bits", samples)
	// More leading zeros than can be said.
	samples = nil
	for i := range 40 {
		samples = append(samples, sample{start + int64(i), uint64(i * i)})
	}
	show("many_leading_zeros", samples)
	show("constant", repeated(120, func(int) float64 { return 42 }))
	show("counter", repeated(120, func(i int) float64 { return float64(i * i / 3) }))
	show("gauge", repeated(120, func(int) float64 { return random.NormFloat64() }))
	samples = repeated(120, func(i int) float64 { return float64(1_000 + random.Intn(50)) })
	for i := range samples {
		samples[i].time += int64(random.Intn(20))
	}
	show("jitter", samples)
	samples = nil
	time := int64(start)
	for range 120 {
		time += 1 + random.Int63n(1<<(1+random.Intn(40)))
		samples = append(samples, sample{time, random.Uint64() >> random.Intn(64) << random.Intn(64)})
	}
	show("anything", samples)
}
