// Prints the orders in which Go's sort.Sort leaves equal elements: the constants of the tests of src/go_sort.rs.
//
//	go run orders.go
package main

import (
	"fmt"
	"sort"
)

type item struct {
	v     uint64
	place int
}
type items []item

func (s items) Len() int           { return len(s) }
func (s items) Less(i, j int) bool { return s[i].v < s[j].v }
func (s items) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }

func numbers(seed uint64, count int, r uint64) items {
	state := seed
	out := make(items, count)
	for i := range out {
		state = state*6364136223846793005 + 1442695040888963407
		out[i] = item{(state >> 33) % r, i}
	}
	return out
}
func order(s items) uint64 {
	sort.Sort(s)
	var h uint64
	for _, it := range s {
		h = h*1000003 + uint64(it.place)
	}
	return h
}
func main() {
	fmt.Println("    const GO_ORDERS: [(u64, usize, u64, u64); 12] = [")
	for _, c := range []struct {
		s uint64
		n int
		r uint64
	}{{1, 0, 1}, {1, 12, 3}, {1, 13, 3}, {2, 13, 1}, {3, 49, 5}, {4, 50, 5}, {5, 100, 1}, {6, 1000, 2}, {7, 1000, 30}, {8, 1000, 1000000}, {9, 5000, 100}, {10, 20000, 3}} {
		fmt.Printf("        (%d, %d, %d, %d),\n", c.s, c.n, c.r, order(numbers(c.s, c.n, c.r)))
	}
	fmt.Println("    ];")
	var rising items
	for i := 0; i < 200; i++ {
		rising = append(rising, item{uint64(i / 7), i})
	}
	var falling items
	for i := 199; i >= 0; i-- {
		falling = append(falling, rising[i])
	}
	nearly := append(items{}, rising...)
	nearly[20], nearly[150] = nearly[150], nearly[20]
	organ := append(append(items{}, rising...), falling...)
	fmt.Printf("    const GO_PATTERNS: [u64; 4] = [%d, %d, %d, %d];\n", order(append(items{}, rising...)), order(append(items{}, falling...)), order(nearly), order(organ))
}
