package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"
)

// image checks a reference to an image, which names a version.
func (f *findings) image(from, text string) {
	image, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		f.error("%s: image %q: %v", from, text, err)
		return
	}
	f.line("image %s", text)
	tagged, hasTag := image.(reference.Tagged)
	_, hasDigest := image.(reference.Digested)
	if !hasDigest && (!hasTag || tagged.Tag() == "latest") {
		f.error("%s: image %q names no version", from, text)
	}
}

// judgeCompose loads a file as `docker compose config` does, without variables of this process.
func judgeCompose(path string, findings *findings) {
	text, err := os.ReadFile(path)
	if err != nil {
		findings.error("%v", err)
		return
	}
	details := types.ConfigDetails{
		WorkingDir:  filepath.Dir(path),
		ConfigFiles: []types.ConfigFile{{Filename: path, Content: text}},
		Environment: types.Mapping{},
	}
	project, err := loader.LoadWithContext(context.Background(), details)
	if err != nil {
		findings.error("%s: %v", path, err)
		return
	}
	for name, service := range project.Services {
		findings.line("object service %s", name)
		if service.Build == nil {
			findings.image("service "+name, service.Image)
			continue
		}
		dockerfile := service.Build.Dockerfile
		if !filepath.IsAbs(dockerfile) {
			dockerfile = filepath.Join(service.Build.Context, dockerfile)
		}
		findings.file(name, dockerfile)
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeBind {
				findings.file(name, volume.Source)
			}
		}
	}
}

func (f *findings) file(from, path string) {
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		f.error("service %s: %s is no file", from, path)
	}
}
