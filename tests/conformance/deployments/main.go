// The judge of deploy/ and docs/compose: it decodes files strictly, with the types of the projects that read them, and
// checks what their servers would check.
//
//	deployment-judge manifests FILE...   Kubernetes' manifests that are applied together
//	deployment-judge kustomize FOLDER    the same of a kustomization
//	deployment-judge compose FILE        a file of Docker Compose
//
// It prints a line for each object, image and reference to an object of others, and each error on standard error. Any
// error makes the status 1.
package main

import (
	"fmt"
	"os"
	"sort"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: deployment-judge manifests FILE... | kustomize FOLDER | compose FILE")
		os.Exit(2)
	}
	findings := &findings{}
	switch command, paths := os.Args[1], os.Args[2:]; command {
	case "manifests":
		judgeManifests(readFiles(paths, findings), findings)
	case "kustomize":
		judgeManifests(buildKustomization(paths[0], findings), findings)
	case "compose":
		judgeCompose(paths[0], findings)
	default:
		findings.error("%s is no command", command)
	}
	os.Exit(findings.print())
}

// findings are the lines of the report and the errors.
type findings struct {
	lines  []string
	errors []string
}

func (f *findings) line(format string, values ...any) {
	f.lines = append(f.lines, fmt.Sprintf(format, values...))
}

func (f *findings) error(format string, values ...any) {
	f.errors = append(f.errors, fmt.Sprintf(format, values...))
}

// print returns the status of the process.
func (f *findings) print() int {
	sort.Strings(f.lines)
	for _, line := range f.lines {
		fmt.Println(line)
	}
	for _, text := range f.errors {
		fmt.Fprintln(os.Stderr, text)
	}
	if len(f.errors) > 0 {
		return 1
	}
	return 0
}
