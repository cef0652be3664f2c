package fleet

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/fleet/reaper"
)

// The test binary plays chatd, as far as a fleet sees it from outside, the reaper, and a simulator that is going to be killed.
func TestMain(m *testing.M) {
	switch part := os.Getenv("FLEET_TEST_PART"); {
	case len(os.Args) > 1 && os.Args[1] == "keygen":
		fakeKeygen(os.Args[3])
	case len(os.Args) > 1 && os.Args[1] == "serve":
		fakeServe(os.Args[2:])
	case part == "reaper":
		if err := reaper.Main(os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case part == "simulator":
		doomedSimulator()
	default:
		os.Exit(m.Run())
	}
}

func fakeKeygen(dir string) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		panic(err)
	}
	for _, name := range []string{"signing.key", "keys.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			panic(err)
		}
	}
}

// fakeServe answers an admin port. FLEET_TEST_FAULT is "name:what" to make one process misbehave.
func fakeServe(args []string) {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	given := map[string]*string{}
	for _, name := range []string{"role", "name", "region", "listen", "admin", "data", "partitions", "replicas", "durability", "cluster-listen",
		"cluster-peers", "leaf-listen", "stores", "cluster-secret-file", "fault-clock", "token-keys", "drain-sessions-per-second", "drain-timeout"} {
		given[name] = flags.String(name, "", "")
	}
	if err := flags.Parse(args); err != nil {
		panic(err)
	}
	name, fault, _ := strings.Cut(os.Getenv("FLEET_TEST_FAULT"), ":")
	if name != *given["name"] {
		fault = ""
	}
	fmt.Printf("%s begins\n", *given["name"])
	switch fault {
	case "dies":
		fmt.Println("no room in here")
		os.Exit(3)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
	}
	led, leader := 0, 0
	if *given["role"] == "store" {
		led = 5
		if *given["name"] == "store-1" {
			leader = 1
		}
	}
	began := time.Now()
	http.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if fault == "never" || time.Since(began) < 50*time.Millisecond {
			http.Error(w, "partition 7 has no owner", http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE chatd_partitions_led gauge\nchatd_partitions_led %d\n# TYPE chatd_meta_leader gauge\nchatd_meta_leader %d\n", led, leader)
		fmt.Fprintf(w, "# TYPE chatd_posts_total counter\nchatd_posts_total{outcome=\"a\"} 2\nchatd_posts_total{outcome=\"b\"} 3\n")
	})
	fmt.Println(http.ListenAndServe(*given["admin"], nil))
	os.Exit(1)
}

func startReaper(t *testing.T) *reaper.Client {
	t.Helper()
	client, err := reaper.Start(reaperArgv(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

func reaperArgv() []string { return []string{"/usr/bin/env", "FLEET_TEST_PART=reaper", os.Args[0]} }

// startFleet starts a fleet of fakes that ends with the test.
func startFleet(t *testing.T, spec string) *Fleet {
	t.Helper()
	s, err := ParseSpec(spec)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Start(t.Context(), Config{Spec: s, Chatd: os.Args[0], Reaper: startReaper(t), ParentDir: t.TempDir(), ReadyWithin: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(5 * time.Second); err != nil {
			t.Error(err)
		}
	})
	return f
}

// doomedSimulator starts a fleet, prints its directory and the ids of its processes, and hangs until it is killed.
func doomedSimulator() {
	client, err := reaper.Start(reaperArgv(), os.Stderr)
	if err != nil {
		panic(err)
	}
	f, err := Start(context.Background(), Config{
		Spec: Spec{Stores: 3, Shards: 2, Partitions: 1, Replicas: 3, Durability: Fsync}, Chatd: os.Args[0],
		Reaper: client, ParentDir: os.Getenv("FLEET_TEST_DIR"),
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(f.Dir)
	for _, p := range f.Processes() {
		if err := p.Stop(); err != nil { // The hardest to end by asking.
			panic(err)
		}
		fmt.Println(p.Pid())
	}
	time.Sleep(time.Hour)
}

func doomed(dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FLEET_TEST_PART=simulator", "FLEET_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}
