package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// options are what the command line says.
type options struct {
	root      string   // the checkout, with one main package a name in it
	names     []string // main packages, and what their images are called
	platforms []v1.Platform
	binaries  string // where the go command puts what it builds, and finds it again
	out       string
	tag       string // "" is the version that the binaries say of themselves
	registry  string // "" pushes nowhere
	goCommand string
}

func main() {
	opts, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "images: %v\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, opts, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "images: %v\n", err)
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (options, error) {
	var opts options
	var platforms string
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: images [flags] NAME…   each NAME a folder of the checkout with a main package")
		flags.PrintDefaults()
	}
	flags.StringVar(&opts.root, "root", ".", "the checkout")
	flags.StringVar(&opts.out, "out", "out/images", "where images, SBOMs and digests go; what was there is replaced")
	flags.StringVar(&opts.binaries, "binaries", "bin/images", "where binaries are kept between two runs")
	flags.StringVar(&platforms, "platforms", "linux/amd64,linux/arm64", "what to build for")
	flags.StringVar(&opts.tag, "tag", "", "the images' tag (default: the version that the go command makes of the commit)")
	flags.StringVar(&opts.registry, "registry", "", "push to REGISTRY/NAME:TAG too, for example registry.example.com/team")
	flags.StringVar(&opts.goCommand, "go", "go", "the go command")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	if opts.names = flags.Args(); len(opts.names) == 0 {
		return opts, fmt.Errorf("no image is named; say which, for example: images chatd")
	}
	for p := range strings.SplitSeq(platforms, ",") {
		platform, err := v1.ParsePlatform(strings.TrimSpace(p))
		if err != nil || platform.OS != "linux" || platform.Architecture == "" {
			return opts, fmt.Errorf("--platforms: %q is none; they look like linux/amd64 and stand with commas between them", p)
		}
		opts.platforms = append(opts.platforms, *platform)
	}
	return opts, nil
}

// run builds, packs what has changed, and pushes if it is told to.
func run(ctx context.Context, opts options, stdout io.Writer) error {
	began := time.Now()
	built, err := build(ctx, opts, stdout)
	if err != nil {
		return err
	}
	if opts.tag == "" {
		opts.tag = tagOf(versionOf(built[0]))
	}
	fmt.Fprintf(stdout, "images: binaries are built (%v)\n", time.Since(began).Round(100*time.Millisecond))

	stamp, err := fingerprint(opts, built)
	if err != nil {
		return err
	}
	if upToDate(opts, stamp) {
		fmt.Fprintf(stdout, "images: nothing has changed since %s was written\n", opts.out)
	} else if err := write(opts, built, stamp); err != nil {
		return err
	}
	if err := show(opts, stdout); err != nil {
		return err
	}
	if opts.registry != "" {
		if err := push(ctx, opts, stdout); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "images: done in %v\n", time.Since(began).Round(100*time.Millisecond))
	return nil
}

// here is the platform whose image the docker archive holds: this machine's if it is built for, else the first.
func (o options) here() v1.Platform {
	for _, p := range o.platforms {
		if p.Architecture == runtime.GOARCH {
			return p
		}
	}
	return o.platforms[0]
}
