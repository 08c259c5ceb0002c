// Writes the groups that Go's regexp finds, and templates that it expands, into the rows of a table.
//
//	go run crates/go-regex/tests/golden/groups.go <crates/go-regex/tests/golden/groups.tsv >new.tsv && mv new.tsv crates/go-regex/tests/golden/groups.tsv
//
// A row is a pattern, a string, a template, the groups of the leftmost match, and the template with the
// groups in it, separated by tabs. Groups are the bytes at which they start and end, "-" for one
// without part in the match; "no" if there is no match, and "refused" if Go rejects the pattern, with
// the reason as the last field. New rows may end after the template. In all fields, %09 stands for a
// tab and so on; lines that start with "# " are comments.
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
	for rows.Scan() {
		if strings.HasPrefix(rows.Text(), "# ") {
			fmt.Println(rows.Text())
			continue
		}
		fields := strings.Split(rows.Text(), "\t")
		if len(fields) < 3 {
			log.Fatalf("not three fields: %q", rows.Text())
		}
		given := strings.Join(fields[:3], "\t")
		groups, expanded := search(plain(fields[0]), plain(fields[1]), plain(fields[2]))
		fmt.Printf("%s\t%s\t%s\n", given, groups, strings.NewReplacer("%", "%25", "\t", "%09", "\n", "%0A").Replace(expanded))
	}
	if err := rows.Err(); err != nil {
		log.Fatal(err)
	}
}

func search(pattern, text, template string) (string, string) {
	compiled, err := regexp.Compile(pattern)
	var refused *syntax.Error
	if errors.As(err, &refused) {
		return "refused", refused.Code.String()
	}
	if err != nil {
		log.Fatal(err)
	}
	match := compiled.FindStringSubmatchIndex(text)
	if match == nil {
		return "no", ""
	}
	groups := make([]string, len(match)/2)
	for i := range groups {
		groups[i] = "-"
		if match[2*i] >= 0 {
			groups[i] = fmt.Sprintf("%d-%d", match[2*i], match[2*i+1])
		}
	}
	return strings.Join(groups, " "), string(compiled.ExpandString(nil, template, text, match))
}

func plain(field string) string {
	text, err := url.PathUnescape(field)
	if err != nil {
		log.Fatal(err)
	}
	return text
}
