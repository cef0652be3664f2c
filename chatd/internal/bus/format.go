package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// storageFormat is what this program writes. It goes up with every change of what a store keeps that an older program would misread,
	// and upgrades gets the step to it.
	//
	//	0  before the format was written down
	//	1  chatfleet.json
	//	2  partitions may share a stream of snapshots; a region that began without that stays as it is
	storageFormat = 2
	// labelFile says in a data directory whose it is.
	labelFile = "chatfleet.json"
)

// label is what stands in a data directory's labelFile. To start on the directory of another store, cluster or number of partitions
// would not fail at once: the embedded server deletes the streams that its group does not know, and logs would be looked for in other
// partitions.
type label struct {
	Format     int    `json:"format"`
	Region     string `json:"region"`
	Store      string `json:"store"`
	Partitions int    `json:"partitions"`
	// Alone: the store has no others beside it. A store that was alone loses its streams when it joins others.
	Alone bool `json:"alone"`
	// SecretCheck tells the cluster's secret from others, without giving it away. Empty: the next start fills it in.
	SecretCheck string `json:"secretCheck,omitempty"`
}

func (c Config) label() label {
	return label{storageFormat, c.Region, c.Name, c.Partitions, len(c.Peers) <= 1, c.password("data directory")[:16]}
}

// upgrades[n] makes format n+1 of a data directory of format n, and returns the label that it has then. It must bear to be
// interrupted and done again.
var upgrades = [storageFormat]func(dir string, have, want label) (label, error){fromUnlabelled, keepLayout}

// checkLabel makes sure that a data directory is this store's own: it labels a fresh one, upgrades an older format, and refuses the
// rest without changing anything.
func checkLabel(dir string, want label, log *slog.Logger) error {
	have, err := readLabel(dir)
	if err != nil {
		return err
	}
	if have == nil {
		return writeLabel(dir, want)
	}
	before := *have
	for have.Format < storageFormat {
		next, err := upgrades[have.Format](dir, *have, want)
		if err != nil {
			return err
		}
		next.Format = have.Format + 1
		have = &next
	}
	if err := have.mustBe(dir, want); err != nil {
		return err
	}
	if before == want {
		return nil
	}
	if err := writeLabel(dir, want); err != nil {
		return err
	}
	if before.Format < storageFormat {
		log.Info("upgraded the data directory's storage format", "dir", dir, "from", before.Format, "to", storageFormat)
	} else {
		log.Info("bound the data directory to the cluster's secret", "dir", dir)
	}
	return nil
}

// readLabel reads what a directory is; nil if it is fresh.
func readLabel(dir string) (*label, error) {
	file := filepath.Join(dir, labelFile)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return unlabelled(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("reading whose the data directory is: %w", err)
	}
	// The format first: what else a newer one holds is not known.
	var version struct{ Format int }
	if err := json.Unmarshal(data, &version); err != nil || version.Format < 1 {
		return nil, fmt.Errorf("%s does not say whose the data directory is; if it was damaged, remove the directory's content and let this store catch up from the others, or restore it from a backup", file)
	}
	if version.Format > storageFormat {
		return nil, fmt.Errorf("the data directory %s has the storage format %d, and this chatd knows formats up to %d: start the release that wrote it, or a newer one",
			dir, version.Format, storageFormat)
	}
	l := new(label)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(l); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return l, nil
}

// unlabelled tells a fresh directory (nil) from one of format 0 and from one that is no store's.
func unlabelled(dir string) (*label, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the data directory: %w", err)
	}
	foreign := ""
	for _, e := range entries {
		switch e.Name() {
		case streamsDir:
			return &label{}, nil
		case "lost+found", lockFile, probeFile, labelFile + tempSuffix:
		default:
			foreign = e.Name()
		}
	}
	if foreign != "" {
		return nil, fmt.Errorf("the data directory %s is not empty and no store's (it holds %q): give the store a directory of its own", dir, foreign)
	}
	return nil, nil
}

// mustBe refuses another store's directory.
func (l label) mustBe(dir string, want label) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("the data directory %s %s", dir, fmt.Sprintf(format, args...))
	}
	switch {
	case l.Region != want.Region:
		return refuse("belongs to region %q, and this store is of %q: mount its own directory, or set region back", l.Region, want.Region)
	case l.Store != want.Store:
		return refuse("belongs to the store %q, and this one is %q: mount its own directory, or set name back", l.Store, want.Store)
	case l.Partitions != want.Partitions:
		return refuse("holds a region of %d partitions, and %d are configured: set partitions to %d, their number cannot change", l.Partitions, want.Partitions, l.Partitions)
	case l.Alone && !want.Alone:
		return refuse("belongs to a store without others, which would lose everything by joining others: start it without cluster.peers; the way to more stores is a backup, restored into a new cluster")
	case !l.Alone && want.Alone:
		return refuse("belongs to one store of several: set cluster.peers to all stores' addresses")
	case l.SecretCheck != "" && l.SecretCheck != want.SecretCheck:
		return refuse("belongs to a cluster with another secret: mount its own directory, or set cluster.secretFile back; if this cluster's secret was changed on purpose, remove \"secretCheck\" from %s at every store and start again",
			filepath.Join(dir, labelFile))
	}
	return nil
}

// fromUnlabelled reads off the streams' names what a directory of format 0 is. The store's name is in none of them, nor the secret.
func fromUnlabelled(dir string, _, want label) (label, error) {
	l := label{Store: want.Store}
	streams, err := os.ReadDir(filepath.Join(dir, streamsDir, account, "streams"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l, fmt.Errorf("reading the streams of a data directory of format 0: %w", err)
	}
	for _, s := range streams {
		name, ok := strings.CutPrefix(s.Name(), "LOG-")
		region, number, found := strings.Cut(name, "-")
		partition, err := strconv.Atoi(number)
		if !ok || !found || err != nil {
			continue
		}
		if l.Region != "" && l.Region != region {
			return l, fmt.Errorf("the data directory %s holds streams of the regions %q and %q: it is nobody's; restore it from a backup", dir, l.Region, region)
		}
		l.Region, l.Partitions = region, max(l.Partitions, partition+1)
	}
	_, err = os.Stat(filepath.Join(dir, streamsDir, "$SYS", "_js_", "_meta_"))
	l.Alone = errors.Is(err, fs.ErrNotExist)
	switch {
	case l.Region == "":
		return want, nil // it ended before its first stream
	case !l.Alone:
		l.Partitions = max(l.Partitions, want.Partitions) // one store of several need not hold all
	}
	return l, nil
}

// keepLayout changes nothing: streams say themselves how their region is laid out.
func keepLayout(_ string, have, _ label) (label, error) { return have, nil }

// writeLabel replaces the label, whole or not at all.
func writeLabel(dir string, l label) error {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("labelling the data directory: %w", err)
	}
	file := filepath.Join(dir, labelFile)
	if err := writeSynced(file+tempSuffix, append(data, '\n')); err != nil {
		return unwritable(dir, err)
	}
	if err := os.Rename(file+tempSuffix, file); err != nil {
		return unwritable(dir, err)
	}
	return syncDir(dir)
}
