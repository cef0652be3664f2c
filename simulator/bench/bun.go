package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// bunTarget is a server in JavaScript on Bun, whose publish is uWebSockets'.
type bunTarget struct {
	program, script string
	c               *child
}

func newBun(o options) (target, error) {
	arch := map[string]string{"amd64": "x64", "arm64": "aarch64"}[runtime.GOARCH]
	t := &bunTarget{program: filepath.Join(o.bun, "node_modules", "@oven", "bun-linux-"+arch, "bin", "bun"), script: filepath.Join(o.bun, "server.js")}
	if _, err := os.Stat(t.program); err != nil {
		return nil, fmt.Errorf("%w: %w; `npm ci --ignore-scripts` in %s gets it", errNotHere, err, o.bun)
	}
	return t, nil
}

func (t *bunTarget) start(context.Context) (door, error) {
	var err error
	if t.c, err = startChild("bun", t.program, "run", t.script); err != nil {
		return door{}, err
	}
	var d door
	return d, t.c.hear(&d)
}

func (t *bunTarget) post(_ context.Context, texts []string) error {
	var answer string
	return t.c.ask(texts, &answer)
}

func (t *bunTarget) processes() []process { return []process{{"bun", t.c.cmd.Process.Pid}} }

func (t *bunTarget) stop() { t.c.stop() }
