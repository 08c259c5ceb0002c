// Prints the Unicode tables of this Go: the classes of \p{...}, and the characters that differ in case
// alone.
//
//	go run crates/go-regex/tests/golden/unicode.go >crates/go-regex/tests/golden/unicode.tsv
//
// A line is one of these, its fields separated by tabs:
//
//	version  15.0.0
//	class    name, number of characters, their digest, and both under (?i)
//	case     characters that differ in case alone, in hexadecimal
//
// Surrogates are dropped, as no UTF-8 string has them. A digest is the 64-bit FNV-1a of the first
// and the last character of each range, "41-5a,61-7a,".
package main

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"unicode"
)

func main() {
	fmt.Printf("version\t%s\n", unicode.Version)
	type class struct{ plain, folded func(rune) bool }
	of := func(tables ...*unicode.RangeTable) class {
		return class{
			func(r rune) bool { return unicode.Is(tables[0], r) },
			func(r rune) bool { return unicode.In(r, tables...) },
		}
	}
	either := func(plain func(rune) bool) class {
		return class{plain, func(r rune) bool { return slices.ContainsFunc(orbit(r), plain) }}
	}
	classes := map[string]class{
		"Any":      either(func(rune) bool { return true }),
		"Assigned": either(func(r rune) bool { return !unicode.Is(unicode.Cn, r) }),
		"ASCII":    either(func(r rune) bool { return r < 0x80 }),
	}
	// What (?i) adds to a category or script is a table of its own, which regexp goes by.
	for name, table := range unicode.Categories {
		classes[name] = of(tables(table, unicode.FoldCategory[name])...)
	}
	for name, table := range unicode.Scripts {
		classes[name] = of(tables(table, unicode.FoldScript[name])...)
	}
	for name, category := range unicode.CategoryAliases {
		classes[name] = classes[category]
	}
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		class := classes[name]
		fmt.Printf("class\t%s\t%s\t%s\n", name, digest(class.plain), digest(class.folded))
	}
	for r := range unicode.MaxRune + 1 {
		if all := orbit(r); len(all) > 1 && slices.Min(all) == r {
			fmt.Printf("case")
			for _, other := range all {
				fmt.Printf("\t%x", other)
			}
			fmt.Println()
		}
	}
}

func tables(table, fold *unicode.RangeTable) []*unicode.RangeTable {
	if fold == nil {
		return []*unicode.RangeTable{table}
	}
	return []*unicode.RangeTable{table, fold}
}

// The characters that are r but for case, r first.
func orbit(r rune) []rune {
	all := []rune{r}
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		all = append(all, next)
	}
	return all
}

// The number of characters and the digest of their ranges.
func digest(contains func(rune) bool) string {
	hash := fnv.New64a()
	count, first, last := 0, rune(-1), rune(-1)
	for r := range unicode.MaxRune + 1 {
		switch {
		case 0xd800 <= r && r <= 0xdfff:
			continue
		case contains(r):
			count++
			if first < 0 {
				first = r
			}
			last = r
		case first >= 0:
			fmt.Fprintf(hash, "%x-%x,", first, last)
			first = -1
		}
	}
	if first >= 0 {
		fmt.Fprintf(hash, "%x-%x,", first, last)
	}
	return fmt.Sprintf("%d\t%016x", count, hash.Sum64())
}
