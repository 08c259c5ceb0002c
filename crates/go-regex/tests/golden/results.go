// Writes the results of Go's regexp into the rows of a table.
//
//	go run crates/go-regex/tests/golden/results.go <crates/go-regex/tests/golden/go.tsv >new.tsv && mv new.tsv crates/go-regex/tests/golden/go.tsv
//
// A row is a pattern, a result and a string, separated by tabs. The result is "yes" or "no" if Go
// compiles the pattern as Prometheus does: the whole string matches or does not. It is "refused" if Go
// rejects the pattern; the last field is then the reason. New rows may have any result. In patterns and
// strings, %09 stands for a tab and so on; lines that start with "# " are comments.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"regexp"
	"regexp/syntax"
	"strings"
)

func main() {
	rows := bufio.NewScanner(os.Stdin)
	rows.Buffer(nil, 1<<20)
	for rows.Scan() {
		if strings.HasPrefix(rows.Text(), "# ") {
			fmt.Println(rows.Text())
			continue
		}
		fields := strings.Split(rows.Text(), "\t")
		if len(fields) != 3 {
			log.Fatalf("not three fields: %q", rows.Text())
		}
		pattern := plain(fields[0])
		compiled, err := compile(pattern)
		var refused *syntax.Error
		switch {
		case errors.As(err, &refused):
			fmt.Printf("%s\trefused\t%s\n", fields[0], refused.Code)
		case err != nil:
			log.Fatal(err)
		case fields[1] == "refused":
			log.Fatalf("not refused: %q", pattern)
		case compiled.MatchString(plain(fields[2])):
			fmt.Printf("%s\tyes\t%s\n", fields[0], fields[2])
		default:
			fmt.Printf("%s\tno\t%s\n", fields[0], fields[2])
		}
	}
	if err := rows.Err(); err != nil {
		log.Fatal(err)
	}
}

func plain(field string) string {
	text, err := url.PathUnescape(field)
	if err != nil {
		log.Fatal(err)
	}
	return text
}

// As model/labels of Prometheus does.
func compile(pattern string) (*regexp.Regexp, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl|syntax.DotNL)
	if err != nil {
		return nil, err
	}
	return regexp.Compile("^(?s:" + parsed.String() + ")$")
}
