// Prints hashes of bytes, and of labels as Prometheus has them in memory: the constants of the tests of
// src/xxhash.rs.
//
//	go run hashes.go
//
// Run it in a module that requires github.com/prometheus/prometheus v0.315.0.
package main

import (
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

func main() {
	var b []byte
	for i := 0; i < 200; i++ {
		b = append(b, byte(i*37+11))
	}
	for _, n := range []int{0, 1, 3, 4, 7, 8, 12, 15, 31, 32, 33, 63, 64, 100, 200} {
		fmt.Printf("(%d, 0x%016x),\n", n, xxhash.Sum64(b[:n]))
	}
	fmt.Printf("%#x\n", labels.FromStrings().Hash())
	fmt.Printf("%#x\n", labels.FromStrings("__name__", "m", "a", "ä").Hash())
	fmt.Printf("%#x\n", labels.FromStrings("a", strings.Repeat("x", 254)).Hash())
	fmt.Printf("%#x\n", labels.FromStrings("a", strings.Repeat("x", 255)).Hash())
	fmt.Printf("%#x\n", labels.FromStrings("a", strings.Repeat("x", 70000)).Hash())
}
