package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/config"
)

// files are what the tests' configurations name.
var files = fstest.MapFS{
	"secret":   {Data: []byte(" sixteen bytes at least\n")},
	"short":    {Data: []byte("fifteen bytes..   \n")},
	"huge":     {Data: []byte(strings.Repeat("x", 5000))},
	"bad.yaml": {Data: []byte("role: shard\nrole: store\n")},
}

// input is where a configuration comes from: a file's text, variables, and arguments as name=value.
type input struct {
	file string
	env  []string
	args []string
}

func (in input) set(args ...string) input {
	in.args = args
	return in
}

// shardFile is a configuration with which nothing is wrong.
const shardFile = `role: shard
name: shard-0
stores: ["10.0.0.1:7422", "10.0.0.2:7422"]
cluster:
  secretFile: secret
token:
  keys: keys.json
`

// storeArgs are another.
var storeArgs = []string{"role=store", "name=store-0", "replicas=1", "data=d", "leaf-listen=:7422", "cluster-secret-file=secret"}

func load(t testing.TB, in input) (*config.Loaded, error) {
	t.Helper()
	flags := config.NewFlags("host")
	byName := map[string]*config.Flag{}
	for _, f := range flags.All() {
		byName[f.Name] = f
	}
	for _, arg := range in.args {
		name, text, _ := strings.Cut(arg, "=")
		if byName[name] == nil {
			t.Fatalf("no flag --%s", name)
		}
		if err := byName[name].Set(text); err != nil {
			t.Fatal(err)
		}
	}
	disk := fstest.MapFS{"chatd.yaml": {Data: []byte(in.file)}}
	env := in.env
	if in.file != "" {
		env = append([]string{"CHATD_CONFIG=chatd.yaml"}, env...)
	}
	return config.Load(config.Inputs{Flags: flags, Environ: env, Hostname: "host", ReadFile: func(name string) ([]byte, error) {
		if _, ok := disk[name]; ok {
			return fs.ReadFile(disk, name)
		}
		return fs.ReadFile(files, name)
	}})
}

// A flag goes before the environment, the environment before the file, the file before the default; for each setting by itself.
func TestPrecedence(t *testing.T) {
	file := shardFile + "drain:\n  timeout: 2s\n  sessionsPerSecond: 2\nregion: file\n"
	loaded, err := load(t, input{
		file: file,
		env:  []string{"HOME=/", "CHATD_DRAIN_TIMEOUT=3s", "CHATD_REGION=env", "CHATD_STORES=a:1, b:2"},
		args: []string{"region=flag", "limits-frame-bytes=1MiB"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := loaded.Config
	for what, ok := range map[string]bool{
		"flag before environment":    c.Region == "flag",
		"environment before file":    c.Drain.Timeout == 3*time.Second,
		"file before default":        c.Drain.SessionsPerSecond == 2,
		"default":                    c.Partitions == 16,
		"flag before default":        c.Limits.FrameBytes == 1<<20,
		"a list is replaced":         fmt.Sprint(c.Stores) == "[a:1 b:2]",
		"the secret without a space": string(c.Secret) == "sixteen bytes at least",
	} {
		if !ok {
			t.Errorf("%s: %+v", what, c)
		}
	}
}

func TestListsComeInSeveralFlags(t *testing.T) {
	loaded, err := load(t, input{file: shardFile, args: []string{"stores=a:1,b:2", "stores=c:3"}})
	if err != nil || fmt.Sprint(loaded.Config.Stores) != "[a:1 b:2 c:3]" {
		t.Errorf("%v, %v", loaded.Config.Stores, err)
	}
}

// Everything that is wrong is refused, with its place and what to do.
func TestWhatIsRefused(t *testing.T) {
	inShard := func(lines string) input { return input{file: shardFile + lines} }
	with := func(args ...string) input { return input{args: append(append([]string(nil), storeArgs...), args...)} }
	for name, tt := range map[string]struct {
		in   input
		want []string
	}{
		"a typo":                    {inShard("drain:\n  timeot: 3s\n"), []string{`chatd.yaml:9:3: unknown key "drain.timeot"; did you mean drain.timeout?`}},
		"the flag's spelling":       {inShard("drain-timeout: 3s\n"), []string{`chatd.yaml:8:1: unknown key "drain-timeout"; did you mean drain.timeout?`}},
		"the wrong section":         {inShard("log:\n  partitions: 3\n"), []string{`chatd.yaml:9:3: unknown key "log.partitions"; did you mean partitions?`}},
		"no key of the section":     {inShard("log:\n  rotateWeekly: 3\n"), []string{`chatd.yaml:9:3: unknown key "log.rotateWeekly"; known are level, format`}},
		"no key at all":             {inShard("xyzzyxyzzy: 3\n"), []string{`chatd.yaml:8:1: unknown key "xyzzyxyzzy"; known are role, name, region,`}},
		"given twice":               {inShard("name: other\n"), []string{`chatd.yaml:8:1: mapping key "name" already defined`}},
		"a number in quotes":        {inShard("partitions: \"16\"\n"), []string{`chatd.yaml:8:13: partitions: want a number, found the text "16"`}},
		"a number with a fraction":  {inShard("partitions: 1.5\n"), []string{`chatd.yaml:8:13: partitions: "1.5" is not a whole number`}},
		"text that is a number":     {inShard("region: 12\n"), []string{`chatd.yaml:8:9: region: want text, found 12; put it in quotes`}},
		"text that is a truth":      {inShard("region: true\n"), []string{`chatd.yaml:8:9: region: want text, found true; put it in quotes`}},
		"a list for text":           {inShard("region: [a]\n"), []string{`chatd.yaml:8:9: region: want text, found a list`}},
		"text for a list":           {inShard("allowOrigin: http://a\n"), []string{`chatd.yaml:8:14: allowOrigin: want a list, found the text "http://a"; write it as [a, b]`}},
		"a bad entry":               {inShard("allowOrigin:\n- http://a\n- http://a/path\n"), []string{`chatd.yaml:10:3: allowOrigin: "http://a/path" is no web origin`}},
		"an entry twice":            {inShard("allowOrigin:\n- http://a\n- http://a\n"), []string{`allowOrigin: "http://a" is given twice`}},
		"a number in a list":        {inShard("allowOrigin: [5]\n"), []string{`chatd.yaml:8:15: allowOrigin: want text, found 5`}},
		"a duration without unit":   {inShard("drain: {timeout: 30}\n"), []string{`chatd.yaml:8:18: drain.timeout: want text, found 30; put it in quotes`}},
		"no duration":               {inShard("drain: {timeout: soon}\n"), []string{`chatd.yaml:8:18: drain.timeout: "soon" is not a duration: want a number with its unit`}},
		"a size for text":           {inShard("limits: {frameBytes: much}\n"), []string{`chatd.yaml:8:22: limits.frameBytes: "much" is not a size`}},
		"a size that is a list":     {inShard("limits: {frameBytes: [1]}\n"), []string{`limits.frameBytes: want a size, found a list`}},
		"an empty value":            {inShard("region:\n"), []string{`region: it is empty: give it a value or remove it`}},
		"an empty section":          {inShard("drain:\n"), []string{`chatd.yaml:8:1: drain: it is empty: give it values or remove it`}},
		"a value for a section":     {inShard("drain: 3s\n"), []string{`chatd.yaml:8:8: drain: want keys and values, found the text "3s"`}},
		"an anchor":                 {inShard("region: &a x\n"), []string{`region: anchors, aliases and tags are not allowed`}},
		"a tag":                     {inShard("region: !!str 1\n"), []string{`region: anchors, aliases and tags are not allowed`}},
		"not YAML":                  {inShard("drain: {timeout\n"), []string{`chatd.yaml:8:`}},
		"a tab":                     {inShard("drain:\n\ttimeout: 3s\n"), []string{`chatd.yaml:9:1: found character '	' that cannot start any token`}},
		"a second document":         {inShard("---\nname: b\n"), []string{`chatd.yaml:9:1: a second document`}},
		"a list as the file":        {input{file: "- a\n"}, []string{`chatd.yaml:1:1: want keys and values, found a list`}},
		"nested too deep":           {inShard("stores: " + strings.Repeat("[", 1000) + "\n"), []string{`chatd.yaml:8:17: values are nested too deep`}},
		"too large a file":          {input{file: strings.Repeat("# 345678\n", 10_000)}, []string{`chatd.yaml: the file is larger than 64 KiB`}},
		"not text":                  {input{file: "name: \xff\n"}, []string{`chatd.yaml: the file is not UTF-8 text`}},
		"no such file":              {input{args: []string{"config=none.yaml"}}, []string{`none.yaml`, `file does not exist`}},
		"a variable's typo":         {input{file: shardFile, env: []string{"CHATD_ROEL=x"}}, []string{`CHATD_ROEL: no such setting; did you mean CHATD_ROLE?`}},
		"a variable's value":        {input{file: shardFile, env: []string{"CHATD_PARTITIONS="}}, []string{`CHATD_PARTITIONS: partitions: "" is not a whole number`}},
		"a flag's value":            {with("log-level=loud"), []string{`--log-level: log.level: "loud": want debug, info, warn or error`}},
		"a value that is overruled": {input{file: shardFile + "partitions: 0\n", args: []string{"partitions=3"}}, []string{`chatd.yaml:8:13: partitions: 0: want 1 to 1024`}},
		"no address":                {with("admin=9090"), []string{`--admin: admin: "9090" is no address: want host:port`}},
		"no port":                   {with("admin=a:b"), []string{`--admin: admin: "a:b": the port is not a number from 0 to 65535`}},
		"a port too large":          {with("admin=:65536"), []string{`the port is not a number from 0 to 65535`}},
		"no host":                   {with("admin=a b:1"), []string{`the host is neither a name nor an IP address`}},
		"nowhere to connect to":     {with("cluster-peers=:1"), []string{`":1": the host is missing`}},
		"port 0 to connect to":      {with("cluster-peers=a:0"), []string{`"a:0": nobody can be reached at port 0`}},
		"one address for two":       {with("leaf-listen=:9090"), []string{`--leaf-listen: leaf.listen: :9090 is taken by admin`}},
		"the same, the other way":   {with("admin=:7000", "leaf-listen=127.0.0.1:7000"), []string{`leaf.listen: 127.0.0.1:7000 is taken by admin`}},
		"a name with capitals":      {with("name=Store_0"), []string{`--name: name: "Store_0": want lower-case letters, digits and hyphens`}},
		"a region of many words":    {with("region=eu-1"), []string{`region: "eu-1": want lower-case letters and digits`}},
		"two stores":                {with("cluster-peers=a:1,b:1"), []string{`--cluster-peers: cluster.peers: 2 stores: want 1, 3 or 5`}},
		"four stores":               {with("cluster-peers=a:1,b:1,c:1,d:1"), []string{`4 stores: want 1, 3 or 5`}},
		"six stores":                {with("cluster-peers=a:1,b:1,c:1,d:1,e:1,f:1"), []string{`cluster.peers: 6 entries: at most 5 are allowed`}},
		"too few stores":            {with("replicas=3"), []string{`--replicas: replicas: 3 copies need as many stores, and cluster.peers names 0`}},
		"two copies":                {with("replicas=2"), []string{`replicas: 2: want 1, 3 or 5`}},
		"stores that do not listen": {with("cluster-peers=a:1,b:1,c:1"), []string{`cluster.listen: it is missing`, `--cluster-listen, CHATD_CLUSTER_LISTEN, or cluster.listen in the file`}},
		"a store for nobody":        {with("leaf-listen="), []string{`leaf.listen: it is missing: a store needs an address for shards`}},
		"no data directory":         {with("data="), []string{`data: it is missing: a member that keeps logs needs a directory`}},
		"a shard without stores":    {input{file: shardFile, env: []string{"CHATD_STORES="}}, []string{`CHATD_STORES: stores: it is missing: a shard needs the leaf addresses`}},
		"no token keys":             {input{file: shardFile, args: []string{"token-keys="}}, []string{`token.keys: it is missing`, "`chatd keygen`"}},
		"an issuer of nothing":      {inShard("").set("token-issuers=iss=a"), []string{`--token-issuers: token.issuers: the issuer "a" has no keys`}},
		"an issuer's typo":          {inShard("").set("token-issuers=iss=a keys=k algo=x"), []string{`"algo" is none of iss, keys, aud, alg, leeway`}},
		"two issuers of one name":   {inShard("").set("token-issuers=iss=a keys=k,iss=a keys=j"), []string{`the issuer "a" is there twice`}},
		"keys that are not safe":    {inShard("").set("token-keys=http://example.com/k"), []string{`--token-keys: token.keys:`, "want https"}},
		"no range of addresses":     {inShard("limits: {exemptAddresses: [10.0.0.1]}\n"), []string{`chatd.yaml:8:28: limits.exemptAddresses: "10.0.0.1" is no range of addresses: want one as 10.0.0.0/8`}},
		"no range of proxies":       {inShard("trustedProxies: [10.0.0.0/8, 10.0.0]\n"), []string{`chatd.yaml:8:30: trustedProxies: "10.0.0" is no range of addresses`}},
		"everybody a proxy":         {inShard("").set("trusted-proxies=::/0"), []string{`--trusted-proxies: trustedProxies: "::/0" is everybody`}},
		"a post larger than frames": {inShard("limits: {messageBytes: 8KiB, frameBytes: 4KiB}\n"), []string{`chatd.yaml:8:24: limits.messageBytes: 8KiB does not fit a frame of limits.frameBytes, 4KiB`}},
		"no secret":                 {with("cluster-secret-file="), []string{`cluster.secretFile: it is missing`}},
		"no file of the secret":     {with("cluster-secret-file=none"), []string{`--cluster-secret-file: cluster.secretFile: open none: file does not exist`}},
		"a short secret":            {with("cluster-secret-file=short"), []string{`the secret in short has 15 bytes: want at least 16`}},
		"a file that is no secret":  {with("cluster-secret-file=huge"), []string{`huge has 5000 bytes: want at most 4096`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tt.in)
			var problems config.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("it was taken: %v", err)
			}
			if len(problems) != 1 {
				t.Errorf("%d problems, want 1:\n%v", len(problems), err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("said:\n%v\nwant in it:\n%s", err, want)
				}
			}
		})
	}
}

// All that is wrong is told at once, in the order file, environment, flags.
func TestAllProblemsAreTold(t *testing.T) {
	_, err := load(t, input{
		file: "role: shart\nfoo: 1\nring: {events: 1}\n", env: []string{"CHATD_REPLICAS=2"}, args: []string{"log-format=xml"},
	})
	want := `5 things are wrong with the configuration:
  chatd.yaml:1:7: role: "shart": want store, shard or combined; did you mean shard?
  chatd.yaml:2:1: unknown key "foo"; known are role, name, region, partitions, admin, probes, faultClock, cluster, log, listen, engine, loops, tls, allowOrigin, trustedProxies, token, stores, drain, limits, http, session, ring, data, durability, replicas, fullAt, retainAge, retainBytesPerPartition, leaf
  chatd.yaml:3:16: ring.events: 1: want 16 to 1000000
  CHATD_REPLICAS: replicas: 2: want 1, 3 or 5
  --log-format: log.format: "xml": want text or json`
	if err == nil || err.Error() != want {
		t.Errorf("said:\n%v\nwant:\n%s", err, want)
	}
}

// Kubernetes makes variables for each service in the namespace; one that is called chatd must not keep pods from starting.
func TestVariablesOfServicesAreNoMistakes(t *testing.T) {
	_, err := load(t, input{file: shardFile, env: []string{
		"CHATD_SERVICE_HOST=10.0.0.1", "CHATD_SERVICE_PORT=80", "CHATD_SERVICE_PORT_HTTP=80", "CHATD_PORT=tcp://10.0.0.1:80",
		"CHATD_PORT_80_TCP=tcp://10.0.0.1:80", "CHATD_PORT_80_TCP_ADDR=10.0.0.1", "CHATD_STORE_SERVICE_HOST=10.0.0.2",
	}})
	if err != nil {
		t.Error(err)
	}
}

// A host's name that is no member's name is only a problem where no name is given.
func TestHostnameAsName(t *testing.T) {
	flags := config.NewFlags("my_host")
	in := config.Inputs{Flags: flags, Hostname: "my_host", ReadFile: func(name string) ([]byte, error) { return fs.ReadFile(files, name) }}
	if _, err := config.Load(in); err == nil || !strings.Contains(err.Error(), `name: the host's name does not serve: "my_host"`) {
		t.Error(err)
	}
	in.Environ = []string{"CHATD_NAME=good"}
	if _, err := config.Load(in); err == nil || strings.Contains(err.Error(), "my_host") {
		t.Error(err)
	}
}

// What a role has no use for may be there, so that one file serves all members.
func TestOneFileForAllRoles(t *testing.T) {
	file := shardFile + "data: d\nreplicas: 1\nleaf: {listen: \":7422\"}\n"
	for _, role := range []string{"store", "shard", "combined"} {
		if _, err := load(t, input{file: file, args: []string{"role=" + role}}); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}
