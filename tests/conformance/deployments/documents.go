package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// document is one document of YAML and its source, for errors.
type document struct {
	source string
	text   []byte
}

func readFiles(paths []string, findings *findings) []document {
	var documents []document
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			findings.error("%v", err)
			continue
		}
		documents = append(documents, split(path, text, findings)...)
	}
	return documents
}

// buildKustomization returns what `kubectl kustomize` prints.
func buildKustomization(folder string, findings *findings) []document {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		findings.error("%s: %v", folder, err)
		return nil
	}
	text, err := resources.AsYaml()
	if err != nil {
		findings.error("%s: %v", folder, err)
	}
	return split(folder, text, findings)
}

func split(source string, text []byte, findings *findings) []document {
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var documents []document
	for {
		part, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents
		}
		if err != nil {
			findings.error("%s: %v", source, err)
			return documents
		}
		if hasContent(part) {
			documents = append(documents, document{source, part})
		}
	}
}

// hasContent returns false for comments alone, which helm leaves of a file without objects.
func hasContent(text []byte) bool {
	for _, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && !bytes.Equal(line, []byte("---")) {
			return true
		}
	}
	return false
}

// newDecoder returns a decoder to which unknown and duplicate fields are errors.
func newDecoder() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		apps.AddToScheme, autoscaling.AddToScheme, core.AddToScheme, monitoring.AddToScheme, networking.AddToScheme,
		policy.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	options := json.SerializerOptions{Yaml: true, Strict: true}
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, options)
}
