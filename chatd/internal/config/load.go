package config

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Origins of values that stand nowhere.
const byDefault = "default"

// Inputs are where a configuration comes from.
type Inputs struct {
	// Flags, registered and parsed.
	Flags *Flags
	// Environ is the environment, as os.Environ gives it.
	Environ []string
	// Hostname stands for the name where none is given.
	Hostname string
	// ReadFile reads the configuration file and the cluster secret. Default os.ReadFile.
	ReadFile func(string) ([]byte, error)
}

// Loaded is a configuration and where each of its values comes from.
type Loaded struct {
	Config Config
	// origins by key: "--name", "CHATD_NAME", "chatd.yaml:1:7" or byDefault.
	origins map[string]string
}

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Where it stands: file:line:column, a variable, a flag; "" for what stands nowhere.
	Where string
	// Key of the setting; "" if it is about none.
	Key     string
	Message string
}

func (p Problem) String() string {
	s := p.Message
	if p.Key != "" {
		s = p.Key + ": " + s
	}
	if p.Where != "" {
		s = p.Where + ": " + s
	}
	return s
}

// Problems is all that is wrong.
type Problems []Problem

// maxProblems bounds a list of problems; who has more begins with these.
const maxProblems = 20

// Error has one line for each problem.
func (ps Problems) Error() string {
	if len(ps) == 1 {
		return ps[0].String()
	}
	lines := []string{fmt.Sprintf("%d things are wrong with the configuration:", len(ps))}
	for i, p := range ps {
		if i == maxProblems {
			lines = append(lines, fmt.Sprintf("  and %d more", len(ps)-i))
			break
		}
		lines = append(lines, "  "+p.String())
	}
	return strings.Join(lines, "\n")
}

// loading is a configuration while it is read.
type loading struct {
	config   *Config
	table    []setting
	byKey    map[string]setting
	sections map[string]bool
	origins  map[string]string
	problems Problems
}

func newLoading(hostname string) *loading {
	c := Defaults(hostname)
	l := &loading{config: &c, byKey: map[string]setting{}, sections: map[string]bool{}, origins: map[string]string{}}
	l.table = settings(l.config)
	for _, s := range l.table {
		l.byKey[s.key], l.origins[s.key] = s, byDefault
		if section, _, ok := strings.Cut(s.key, "."); ok {
			l.sections[section] = true
		}
	}
	return l
}

func (l *loading) keys() []string {
	keys := make([]string, len(l.table))
	for i, s := range l.table {
		keys[i] = s.key
	}
	return keys
}

func (l *loading) report(where, key, format string, args ...any) {
	l.problems = append(l.problems, Problem{where, key, redact(fmt.Sprintf(format, args...))})
}

// set gives a setting its value from one place.
func (l *loading) set(s setting, text, origin string) {
	if err := s.value.set(text); err != nil {
		l.report(origin, s.key, "%v", err)
		return
	}
	l.origins[s.key] = origin
}

// Load reads a configuration: flags before environment before file before defaults. If its error is Problems, the configuration
// is what could be read, to be printed, not used.
func Load(in Inputs) (*Loaded, error) {
	if in.ReadFile == nil {
		in.ReadFile = os.ReadFile
	}
	l := newLoading(in.Hostname)
	env := environment(in.Environ)
	if file := in.file(env); file != "" {
		data, err := in.ReadFile(file)
		if err != nil {
			l.report("", "", "reading the configuration: %v", err)
		}
		(&reader{l, file}).read(data)
	}
	l.environment(env)
	for _, s := range l.table {
		if text, ok := in.Flags.given(s.key); ok {
			l.set(s, text, "--"+flagName(s.key))
		}
	}
	if len(l.problems) == 0 {
		l.check(in.ReadFile)
	}
	loaded := &Loaded{*l.config, l.origins}
	if len(l.problems) > 0 {
		return loaded, l.problems
	}
	return loaded, nil
}

// file is where the configuration file is, if there is one.
func (in Inputs) file(env map[string]string) string {
	if file, given := in.Flags.given(configKey); given {
		return file
	}
	return env[envName(configKey)]
}

func environment(environ []string) map[string]string {
	env := map[string]string{}
	for _, e := range environ {
		if name, text, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, envPrefix) {
			env[name] = text
		}
	}
	return env
}

// environment sets what variables give. One that is there counts, also when it is empty.
func (l *loading) environment(env map[string]string) {
	known := map[string]bool{envName(configKey): true}
	for _, s := range l.table {
		name := envName(s.key)
		known[name] = true
		if text, ok := env[name]; ok {
			l.set(s, text, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !known[name] && !ofService(name) {
			l.report(name, "", "no such setting%s", didYouMean(name, slices.Sorted(maps.Keys(known))))
		}
	}
}

// ofService reports whether a variable is one of those that Kubernetes gives every pod for a service whose name begins with
// chatd, CHATD_PORT_8080_TCP_ADDR for one. They are nobody's mistake.
func ofService(name string) bool {
	return strings.HasSuffix(name, "_PORT") || strings.Contains(name, "_PORT_") ||
		strings.HasSuffix(name, "_SERVICE_HOST") || strings.Contains(name, "_SERVICE_PORT")
}

const configKey = "config"

// Flags are the settings as flags.
type Flags struct {
	table []*Flag
	byKey map[string]*Flag
}

// NewFlags makes a flag of every setting, and --config. Register each of All.
func NewFlags(hostname string) *Flags {
	f := &Flags{byKey: map[string]*Flag{}}
	file := &Flag{Name: configKey, Help: "configuration file, YAML; docs/configuration.md has its keys (environment: " + envName(configKey) + ")", unit: "path"}
	f.add(configKey, file)
	c := Defaults(hostname)
	for _, s := range settings(&c) {
		f.add(s.key, &Flag{Name: flagName(s.key), Help: s.help(), text: s.value.text(), list: s.value.kind() == listKind, unit: s.value.unit()})
	}
	return f
}

func (f *Flags) add(key string, flag *Flag) {
	f.table = append(f.table, flag)
	f.byKey[key] = flag
}

// All flags, in the order in which help should show them.
func (f *Flags) All() []*Flag { return f.table }

// DidYouMean names the flag that was probably meant, if there is one.
func (f *Flags) DidYouMean(name string) string {
	known := make([]string, len(f.table))
	for i, flag := range f.table {
		known[i] = "--" + flag.Name
	}
	return didYouMean(name, known)
}

func (f *Flags) given(key string) (string, bool) {
	flag := f.byKey[key]
	return flag.text, flag.given
}

// Flag is a setting as a flag of the command line, a pflag.Value. It takes whatever it is given: Load reads it, so that all that
// is wrong is told at once.
type Flag struct {
	Name, Help string

	text, unit  string
	given, list bool
}

// Set implements pflag.Value. A list's entries may come in several flags.
func (f *Flag) Set(text string) error {
	if f.given && f.list {
		text = f.text + "," + text
	}
	f.text, f.given = text, true
	return nil
}

// String implements pflag.Value.
func (f *Flag) String() string { return f.text }

// Type implements pflag.Value.
func (f *Flag) Type() string { return f.unit }

// secret is what stands in the cluster's secret file.
func secret(data []byte) []byte { return bytes.TrimSpace(data) }
