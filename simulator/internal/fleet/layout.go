package fleet

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// storePorts are the addresses that a store listens on.
type storePorts struct{ admin, cluster, leaf string }

// layout makes all places of the fleet, with their ports and command lines, before the first is started: each store has to
// know the others.
func (f *Fleet) layout() error {
	stores := make([]storePorts, f.Spec.Stores)
	var peers, leaves []string
	for i := range stores {
		for _, into := range []*string{&stores[i].admin, &stores[i].cluster, &stores[i].leaf} {
			addr, err := f.ports.next()
			if err != nil {
				return err
			}
			*into = addr
		}
		peers = append(peers, stores[i].cluster)
		leaves = append(leaves, stores[i].leaf)
	}
	for i, at := range stores {
		p := &Process{Name: fmt.Sprintf("store-%d", i), Role: RoleStore, Admin: at.admin}
		args := f.storeArgs(p, at, peers)
		if err := f.place(p, args); err != nil {
			return err
		}
	}
	for i := range f.Spec.Shards {
		p := &Process{Name: fmt.Sprintf("shard-%d", i), Role: RoleShard}
		for _, into := range []*string{&p.Admin, &p.Listen} {
			addr, err := f.ports.next()
			if err != nil {
				return err
			}
			*into = addr
		}
		if err := f.place(p, f.shardArgs(p, leaves)); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) storeArgs(p *Process, at storePorts, peers []string) []string {
	args := append(f.commonArgs(p),
		"--data", filepath.Join(f.Dir, p.Name),
		"--replicas", strconv.Itoa(f.Spec.Replicas),
		"--durability", string(f.Spec.Durability),
		"--leaf-listen", at.leaf)
	if len(peers) > 1 {
		args = append(args, "--cluster-listen", at.cluster, "--cluster-peers", strings.Join(peers, ","))
	}
	return args
}

func (f *Fleet) shardArgs(p *Process, leaves []string) []string {
	return append(f.commonArgs(p),
		"--listen", p.Listen,
		"--stores", strings.Join(leaves, ","),
		// A fleet for one run has nobody to spare when it ends.
		"--drain-sessions-per-second", "20000", "--drain-timeout", "5s")
}

func (f *Fleet) commonArgs(p *Process) []string {
	return []string{
		"serve", "--role", string(p.Role), "--name", p.Name, "--region", "local", "--admin", p.Admin,
		"--partitions", strconv.Itoa(f.Spec.Partitions),
		"--cluster-secret-file", f.secretFile(),
		// Faults of a scenario set clocks. Only this machine reaches the port that does it.
		"--fault-clock", "on",
		"--token-keys", filepath.Join(filepath.Dir(f.SigningKeyFile), "keys.json"),
	}
}

func (f *Fleet) place(p *Process, args []string) error {
	log, err := openLog(filepath.Join(f.config.LogDir, p.Name+".log"))
	if err != nil {
		return err
	}
	p.argv = append([]string{f.config.Chatd}, args...)
	p.log = log
	p.host = host{launcher: f.launcher, guard: f.config.Reaper, died: f.died}
	f.processes = append(f.processes, p)
	return nil
}
