package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	digest "github.com/opencontainers/go-digest"
)

// LintDockerfile returns what `docker build --check` would say of a Dockerfile, a sentence each, without a daemon and
// without asking a registry: of the images that it starts from, only the names are known.
func LintDockerfile(ctx context.Context, dockerfile []byte) ([]string, error) {
	source := llb.NewSourceMap(nil, "Dockerfile", "", dockerfile)
	source.Definition = &llb.Definition{}
	results, err := dockerfile2llb.DockerfileLint(ctx, dockerfile, dockerfile2llb.ConvertOpt{
		MetaResolver: emptyImages{},
		SourceMap:    source,
	})
	if err != nil {
		return nil, fmt.Errorf("lint: %w", err)
	}
	var found []string
	if results.Error != nil {
		found = append(found, results.Error.Message)
	}
	for _, warning := range results.Warnings {
		line := int32(0)
		if ranges := warning.Location.GetRanges(); len(ranges) > 0 {
			line = ranges[0].GetStart().GetLine()
		}
		found = append(found, fmt.Sprintf("line %d: %s: %s", line, warning.RuleName, warning.Detail))
	}
	return found, nil
}

// emptyImages answers for every image that it sets nothing.
type emptyImages struct{}

// ResolveImageConfig implements llb.ImageMetaResolver.
func (emptyImages) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return ref, "", []byte(`{"architecture":"amd64","os":"linux","config":{}}`), nil
}

// Image is what the last stage of a Dockerfile sets, and the arguments that stand before the first.
type Image struct {
	Args        map[string]string
	User        string
	Entrypoint  []string
	Cmd         []string
	Healthcheck []string
}

// ParseImage reads a Dockerfile as BuildKit does.
func ParseImage(dockerfile []byte) (Image, error) {
	parsed, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return Image{}, fmt.Errorf("parse: %w", err)
	}
	stages, args, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return Image{}, fmt.Errorf("parse: %w", err)
	}
	if len(stages) == 0 {
		return Image{}, errors.New("parse: no stage")
	}
	image := Image{Args: map[string]string{}}
	for _, command := range args {
		for _, arg := range command.Args {
			if arg.Value != nil {
				image.Args[arg.Key] = *arg.Value
			}
		}
	}
	for _, command := range stages[len(stages)-1].Commands {
		switch c := command.(type) {
		case *instructions.UserCommand:
			image.User = c.User
		case *instructions.EntrypointCommand:
			image.Entrypoint = c.CmdLine
		case *instructions.CmdCommand:
			image.Cmd = c.CmdLine
		case *instructions.HealthCheckCommand:
			image.Healthcheck = c.Health.Test
		}
	}
	return image, nil
}
