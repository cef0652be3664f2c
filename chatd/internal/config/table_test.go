package config

import (
	"bytes"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// The table and the fields of Config are two lists of the same: each setting sets the one field that its key names.
func TestTableNamesEveryField(t *testing.T) {
	var c Config
	fields := map[string]any{}
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if prefix == "" && name == "Secret" {
				continue
			}
			key := prefix + strings.ToLower(name[:1]) + name[1:]
			switch name {
			case "HTTP", "TLS":
				key = strings.ToLower(name)
			case "TLSDirectory":
				key = prefix + "tlsDirectory"
			}
			if f := v.Field(i); f.Kind() == reflect.Struct {
				walk(f, key+".")
			} else {
				fields[key] = f.Addr().Interface()
			}
		}
	}
	walk(reflect.ValueOf(&c).Elem(), "")
	for _, s := range settings(&c) {
		if f := fields[s.key]; f == nil || reflect.ValueOf(f).UnsafePointer() != fieldOf(s.value) {
			t.Errorf("%s does not set the field of its name", s.key)
		}
		delete(fields, s.key)
	}
	for key := range fields {
		t.Errorf("the field of %s is not in the table", key)
	}
}

func fieldOf(v value) unsafe.Pointer {
	return reflect.Indirect(reflect.ValueOf(v)).FieldByName("field").UnsafePointer()
}

// Two keys must not be one flag or variable, nor look like a variable that Kubernetes makes; sections stand together; docs read as
// sentences.
func TestTableIsConsistent(t *testing.T) {
	c := Defaults("host")
	flags, sections := map[string]string{configKey: configKey, "print-config": ""}, []string{}
	for _, s := range settings(&c) {
		if other, taken := flags[flagName(s.key)]; taken {
			t.Errorf("%s and %s are one flag", s.key, other)
		}
		flags[flagName(s.key)] = s.key
		if ofService(envName(s.key)) {
			t.Errorf("%s is a name that Kubernetes gives variables", envName(s.key))
		}
		section, _, _ := strings.Cut(s.key, ".")
		if len(sections) == 0 || sections[len(sections)-1] != section {
			if slices.Contains(sections, section) {
				t.Errorf("the section of %s is in two parts", s.key)
			}
			sections = append(sections, section)
		}
		if !strings.HasSuffix(s.doc, ".") || s.doc[:1] != strings.ToUpper(s.doc[:1]) {
			t.Errorf("%s: the doc is no sentence: %q", s.key, s.doc)
		}
		if err := s.value.set(s.value.text()); err != nil {
			t.Errorf("%s refuses its own default: %v", s.key, err)
		}
	}
}

// Bounds belong to what is allowed, and what lies beyond is refused and changes nothing.
func TestBounds(t *testing.T) {
	c := Defaults("host")
	bounded := 0
	for _, s := range settings(&c) {
		least, most, ok := strings.Cut(s.value.bounds(), " to ")
		if !ok {
			continue
		}
		bounded++
		for _, in := range []string{least, most} {
			if err := s.value.set(in); err != nil || s.value.text() != in {
				t.Errorf("%s: %s became %s, %v", s.key, in, s.value.text(), err)
			}
		}
		for _, out := range []string{"-" + most, most + "0", "9" + most, "-1", "", "x", "NaN", "1e400", "99999999999999999999", " " + least} {
			if err := s.value.set(out); err == nil {
				t.Errorf("%s took %q", s.key, out)
			}
		}
		if s.value.text() != most {
			t.Errorf("%s: what was refused left %s", s.key, s.value.text())
		}
	}
	if bounded < 10 {
		t.Errorf("only %d settings have bounds", bounded)
	}
}

// What Print writes is a file that gives the same configuration.
func TestPrintIsAFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := newLoading("host")
		for _, s := range before.table {
			if text := drawText(t, s); text != nil {
				_ = s.value.set(*text) // what it refuses is not set
			}
		}
		var out bytes.Buffer
		if err := (&Loaded{*before.config, before.origins}).Print(&out); err != nil {
			t.Fatal(err)
		}
		after := newLoading("another")
		(&reader{after, "printed"}).read(out.Bytes())
		if len(after.problems) > 0 {
			t.Fatalf("%v\n%s", after.problems, out.String())
		}
		for i, s := range before.table {
			if got, want := after.table[i].value.text(), s.value.text(); got != want {
				t.Fatalf("%s: %q was printed and read as %q\n%s", s.key, want, got, out.String())
			}
		}
	})
}

// drawText draws what somebody may give a setting; nil for nothing.
func drawText(t *rapid.T, s setting) *string {
	var text string
	switch rapid.IntRange(0, 3).Draw(t, s.key) {
	case 0:
		return nil
	case 1:
		text = rapid.SampledFrom([]string{"true", "null", "~", "yes", "0x10", "1e5", "12", "-", "a: b", "#x", "a #b", "'", `"`, "\\", "é\n\t", "{}", "[a", "*x", "&x", "!x", "%x", "@", "`"}).Draw(t, "odd")
	case 2:
		text = rapid.StringN(0, 20, 40).Draw(t, "any")
	default:
		text = rapid.SampledFrom([]string{"1", "3", "20", "500", "64KiB", "1MiB", "90s", "1h30m", "100ms", "a:1,b:2,[::1]:3", ":80", "http://a,app://b", "10.0.0.0/8,::/0", "keys=k,iss=a keys=k"}).Draw(t, "likely")
	}
	return &text
}

// Nothing in a file makes the reader panic or hang, and what it takes is within bounds.
func FuzzFile(f *testing.F) {
	f.Add([]byte("role: shard\nstores: [a:1]\ndrain:\n  timeout: 3s\n"))
	f.Add([]byte("a: &a [*a]\n? - b\n: !!c {<<: *a}\n"))
	f.Add([]byte("limits: {frameBytes: 1e9, messageBytes: 0x10}\n--- \n...\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLoading("host")
		(&reader{l, "file"}).read(data)
		for _, s := range l.table {
			if err := s.value.set(s.value.text()); err != nil {
				t.Errorf("%s has a value that it refuses: %v", s.key, err)
			}
		}
		_ = l.problems.Error()
	})
}

// Paths and names are printed; the secret never, nor a password in a URL, also where something is wrong with it.
func TestSecretsAreNotPrinted(t *testing.T) {
	const secret = "hunter2hunter2hunter2"
	_, err := Load(Inputs{Flags: NewFlags("host"), Hostname: "host", ReadFile: func(string) ([]byte, error) { return []byte(secret), nil },
		Environ: []string{"CHATD_CLUSTER_SECRET_FILE=there", "CHATD_TOKEN_KEYS=https://me:hunter2@example.com/keys", "CHATD_REGION=a://b:hunter2@c"}})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("said: %v", err)
	}
	loaded, err := Load(Inputs{Flags: NewFlags("host"), Hostname: "host", ReadFile: func(string) ([]byte, error) { return []byte(secret), nil },
		Environ: []string{"CHATD_CLUSTER_SECRET_FILE=there", "CHATD_DATA=d", "CHATD_REPLICAS=1", "CHATD_TOKEN_KEYS=https://me:hunter2@example.com/keys",
			"CHATD_TOKEN_ISSUERS=iss=a keys=https://me:hunter2@example.com/keys"}})
	if err != nil || string(loaded.Config.Secret) != secret {
		t.Fatalf("the secret was not read: %v", err)
	}
	var out bytes.Buffer
	if err := loaded.Print(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "hunter2") || !strings.Contains(out.String(), "secretFile: there") || !strings.Contains(out.String(), "https://me:xxxxx@example.com/keys") {
		t.Error(out.String())
	}
}

const referenceFile = "../../../docs/configuration.md"

// docs/configuration.md is made from the table; a change of it without `make generate` fails here.
func TestReferenceIsThatOfTheTable(t *testing.T) {
	var want bytes.Buffer
	if err := WriteReference(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/configuration.md is not up to date: run `make generate`")
	}
}
