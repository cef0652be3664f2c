package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// server is a target that this program itself is, in another process: `bench serve NAME`.
type server interface {
	// listen begins to take subscribers.
	listen() (door, error)
	// post brings posts to all subscribers.
	post(texts []string) error
}

// servers by name.
var servers = map[string]func() server{
	"bare-1":           func() server { return &bare{threads: 1} },
	"bare-2":           func() server { return &bare{threads: 2} },
	"bare-batch":       func() server { return &bare{threads: 1, batch: true} },
	"gws":              func() server { return &gwsHub{} },
	"hub":              func() server { return &hub{} },
	"nats":             func() server { return &natsServer{} },
	"centrifuge":       func() server { return &centrifugeNode{} },
	"centrifuge-tuned": func() server { return &centrifugeNode{tuned: true} },
}

// serve is the process of a server. Each line on its standard input is posts, as a JSON array of texts; it ends when that ends.
func serve(name string) error {
	of, ok := servers[name]
	if !ok {
		return fmt.Errorf("there is no server %q", name)
	}
	s := of()
	d, err := s.listen()
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(d); err != nil {
		return err
	}
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		var texts []string
		switch err := in.Decode(&texts); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		if err := s.post(texts); err != nil {
			return err
		}
		if err := out.Encode("posted"); err != nil {
			return err
		}
	}
}

// child is a process that is told what to do, and answers, by lines of JSON.
type child struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
}

func startChild(name, program string, args ...string) (*child, error) {
	c := &child{name: name, cmd: exec.Command(program, args...)}
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(bufio.NewReader(out))
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return c, nil
}

// ask says something, and reads the answer.
func (c *child) ask(question, answer any) error {
	line, err := json.Marshal(question)
	if err != nil {
		return err
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("tell %s: %w", c.name, err)
	}
	return c.hear(answer)
}

func (c *child) hear(answer any) error {
	if err := c.out.Decode(answer); err != nil {
		return fmt.Errorf("hear %s: %w", c.name, err)
	}
	return nil
}

func (c *child) stop() {
	_ = c.in.Close()
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// ownTarget is a server in another process.
type ownTarget struct {
	name    string
	program []string
	c       *child
}

func own(name string) func(options) (target, error) {
	return func(options) (target, error) {
		return &ownTarget{name: name, program: []string{self(), "serve", name}}, nil
	}
}

// newEngine is chatd's engine, which is told what to do as our own servers are.
func newEngine(o options) (target, error) {
	if _, err := os.Stat(o.alone); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotHere, err)
	}
	return &ownTarget{name: "engine", program: []string{o.alone}}, nil
}

func (t *ownTarget) start(context.Context) (door, error) {
	var err error
	if t.c, err = startChild(t.name, t.program[0], t.program[1:]...); err != nil {
		return door{}, err
	}
	var d door
	return d, t.c.hear(&d)
}

func (t *ownTarget) post(_ context.Context, texts []string) error {
	var answer string
	return t.c.ask(texts, &answer)
}

func (t *ownTarget) processes() []process {
	return []process{{t.name, t.c.cmd.Process.Pid}}
}

func (t *ownTarget) stop() { t.c.stop() }

// self is this program.
func self() string {
	path, err := os.Executable()
	if err != nil {
		fatal(err)
	}
	return path
}
