package command

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/plain"
	"github.com/chatfleet/chatfleet/simulator/internal/planning"
)

// planFlags are the flags of plan, as they were given.
type planFlags struct {
	subscribers, slo, headroom, messageBytes, memory, network string
	signIns, growth                                           string
	posts, cores                                              float64
	lose, connections, seeds                                  int
	tls                                                       bool
	backWithin, scaleAfter                                    time.Duration
	places                                                    []string
	calibration, prices, out                                  string
	name, namespace, image, region, storage                   string
}

func (f *planFlags) add(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.StringVar(&f.subscribers, "subscribers", "", "sessions, all of them connected when a post comes: 300k, 2.5M (required)")
	flags.StringVar(&f.slo, "slo", "", "what share has a post in what time: p99.9<1s; p50, p99, p99.9 or last (required)")
	flags.IntVar(&f.lose, "n-minus", 0, "shards that may be lost at the same moment")
	flags.StringVar(&f.headroom, "headroom", "0%", "the share of everything that is left over")
	flags.StringVar(&f.messageBytes, "message-bytes", "200B", "the size of a post")
	flags.Float64Var(&f.posts, "posts-per-second", 0.01, "posts a second to the whole audience, day and night; 0.01 is 36 an hour")
	flags.StringVar(&f.signIns, "sign-ins-per-minute", "0", "sign-ins that there always are")
	flags.StringVar(&f.growth, "growth", "0", "sessions a minute by which the audience may grow before there are more shards")
	flags.StringArrayVar(&f.places, "place", nil, "where a part is, NAME=SHARE,ROUND-TRIP[,ITS-P99]: Quito=50%,160ms,480ms; all sum to 100%")
	flags.DurationVar(&f.backWithin, "back-within", 30*time.Second, "until when those of lost shards have to be signed in again")
	flags.DurationVar(&f.scaleAfter, "scale-after", 30*time.Second, "how long until somebody, or an autoscaler, asks for more shards")
	flags.Float64Var(&f.cores, "cores-per-shard", 4, "cores of each shard")
	flags.StringVar(&f.memory, "memory-per-shard", "2GiB", "the most memory that a shard may have")
	flags.StringVar(&f.network, "network-per-shard", "1250MB", "what a pod can send a second; 1250MB is 10 Gbit/s")
	flags.IntVar(&f.connections, "connections-per-shard", planning.UsualConnections, "chatd's limits.connections, each an open file")
	flags.BoolVar(&f.tls, "tls", true, "sessions speak TLS to the shards")
	flags.StringVar(&f.calibration, "calibration", "", "a calibration (default: the one that ships with the simulator)")
	flags.StringVar(&f.prices, "prices", "", "a price list (default: an example)")
	flags.IntVar(&f.seeds, "seeds", defaultSeeds, "how many plays, each with another seed, the interval is over")
	flags.StringVar(&f.name, "name", "chat", "the ChatCluster's name")
	flags.StringVar(&f.namespace, "namespace", "default", "its namespace")
	flags.StringVar(&f.image, "image", "", "chatd's image, for a new ChatCluster")
	flags.StringVar(&f.region, "region", "", "its region, for a new ChatCluster")
	flags.StringVar(&f.storage, "storage", "100Gi", "the volume of each of its stores, for a new ChatCluster")
	flags.StringVar(&f.out, "out", filepath.Join("out", "plan"), "directory for report.json, plan.yaml and test.yaml")
}

// mostLost is far more than anybody would plan for.
const mostLost = 100

// parse turns the flags into a question. Its errors name the flag and what to write.
func (f planFlags) parse() (q planning.Question, err error) {
	var all []error
	wrong := func(flag, format string, args ...any) { all = append(all, fmt.Errorf("--"+flag+": "+format, args...)) }
	number := func(flag, text string, most float64) float64 {
		v, err := parseCount(text)
		if err != nil {
			wrong(flag, "%w", err)
		} else if v > most {
			wrong(flag, "%s is more than %s", text, plain.Count(int64(most)))
		}
		return v
	}
	size := func(flag, text string, least int64) int64 {
		var s v1alpha1.Size
		if err := s.UnmarshalText([]byte(text)); err != nil {
			wrong(flag, "%w", err)
		} else if int64(s) < least {
			wrong(flag, "%s is less than %d B", text, least)
		}
		return int64(s)
	}
	q = planning.Question{
		Subscribers: int64(number("subscribers", f.subscribers, planning.MostSubscribers)), Lose: f.lose, PostsPerSecond: f.posts,
		MessageBytes: size("message-bytes", f.messageBytes, 32), SignInsPerMinute: number("sign-ins-per-minute", f.signIns, 1e9), GrowthPerMinute: number("growth", f.growth, 1e9),
		BackWithin: f.backWithin, ScaleAfter: f.scaleAfter, Seeds: f.seeds,
		Pod: planning.Pod{
			Cores: f.cores, MemoryBytes: size("memory-per-shard", f.memory, 128<<20), NetworkPerSecond: size("network-per-shard", f.network, 1e5),
			Connections: int64(f.connections), TLS: f.tls,
		},
		Cluster: planning.Cluster{Name: f.name, Namespace: f.namespace, Image: f.image, Region: f.region, Storage: f.storage},
	}
	if q.Subscribers == 0 && len(all) == 0 {
		wrong("subscribers", "at least 1; write it as 300k or 2.5M")
	}
	if q.Objective, err = parseObjective(f.slo); err != nil {
		wrong("slo", "%w", err)
	}
	if q.Headroom, err = parseHeadroom(f.headroom); err != nil {
		wrong("headroom", "%w", err)
	}
	if q.Places, err = parsePlaces(f.places); err != nil {
		wrong("place", "%w", err)
	}
	f.bounds(wrong)
	f.cluster(wrong)
	return q, errors.Join(all...)
}

// bounds checks the flags that are numbers already.
func (f planFlags) bounds(wrong func(flag, format string, args ...any)) {
	if f.lose < 0 || f.lose > mostLost {
		wrong("n-minus", "%d; from 0 to %d shards", f.lose, mostLost)
	}
	if !(f.posts > 0 && f.posts <= 500) {
		wrong("posts-per-second", "%g; above 0, up to 500, which is what a fleet takes for one log", f.posts)
	}
	if !(f.cores >= 0.1 && f.cores <= 256) {
		wrong("cores-per-shard", "%g; from 0.1 to 256", f.cores)
	}
	if f.connections < 1 || f.connections > 1_000_000 {
		wrong("connections-per-shard", "%d; from 1 to 1000000", f.connections)
	}
	if f.backWithin < time.Second || f.backWithin > time.Hour {
		wrong("back-within", "%s; from 1s to 1h", f.backWithin)
	}
	if f.scaleAfter < 0 || f.scaleAfter > 24*time.Hour {
		wrong("scale-after", "%s; from 0s to 24h", f.scaleAfter)
	}
	if f.seeds < 1 || f.seeds > maxSeeds {
		wrong("seeds", "%d; from 1 to %d", f.seeds, maxSeeds)
	}
}

var (
	clusterName   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,38}[a-z0-9]$|^[a-z]$`)
	namespaceName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	regionName    = regexp.MustCompile(`^[a-z0-9]{1,32}$`)
	volumeSize    = regexp.MustCompile(`^[1-9][0-9]{0,5}Gi$`)
	whiteSpace    = regexp.MustCompile(`\s`)
)

// cluster checks what goes into a ChatCluster by the rules of its API (docs/chatcluster.md).
func (f planFlags) cluster(wrong func(flag, format string, args ...any)) {
	if !clusterName.MatchString(f.name) {
		wrong("name", "%q; a lower-case letter, then those, digits and hyphens, at most 40", f.name)
	}
	if !namespaceName.MatchString(f.namespace) {
		wrong("namespace", "%q; lower-case letters, digits and hyphens, at most 63", f.namespace)
	}
	if (f.image == "") != (f.region == "") {
		wrong("image", "--image and --region belong together: both for a new ChatCluster, neither for one that there is")
	}
	if whiteSpace.MatchString(f.image) {
		wrong("image", "%q has white space", f.image)
	}
	if f.region != "" && !regionName.MatchString(f.region) {
		wrong("region", "%q; 1 to 32 lower-case letters and digits, such as eu1", f.region)
	}
	if !volumeSize.MatchString(f.storage) {
		wrong("storage", "%q; whole Gi, such as 100Gi", f.storage)
	}
}

// parseCount reads "2.5M", "300k" or "1200": a number of at least 0, of which the whole part counts.
func parseCount(text string) (float64, error) {
	digits, factor := strings.TrimSpace(text), 1.0
	for suffix, by := range map[string]float64{"k": 1e3, "M": 1e6} {
		if rest, ok := strings.CutSuffix(digits, suffix); ok {
			digits, factor = rest, by
			break
		}
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(v >= 0) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is no number of at least 0; write it as 1200, 300k or 2.5M", text)
	}
	return math.Floor(math.Round(v*factor*1e6) / 1e6), nil
}

// parseObjective reads "p99.9<1s".
func parseObjective(text string) (planning.Objective, error) {
	percentile, bound, found := strings.Cut(strings.ReplaceAll(text, " ", ""), "<")
	within, err := time.ParseDuration(bound)
	o, known := planning.ObjectiveOf(percentile, within)
	if !found || err != nil || !known || within < time.Millisecond || within > time.Hour {
		return o, fmt.Errorf("%q is no objective; write it as p99.9<1s: one of p50, p99, p99.9 and last, and a time from 1ms to 1h", text)
	}
	return o, nil
}

// parseHeadroom is a share, or nothing.
func parseHeadroom(text string) (float64, error) {
	if strings.Trim(text, " 0%.") == "" && text != "" {
		return 0, nil
	}
	share, err := parseShare(text)
	if err == nil && share > 0.9 {
		return 0, fmt.Errorf("%s leaves hardly anything to use; at most 90%%", text)
	}
	return share, err
}

// parsePlaces reads "NAME=SHARE,ROUND-TRIP[,P99]" each.
func parsePlaces(texts []string) ([]v1alpha1.Place, error) {
	var out []v1alpha1.Place
	sum := 0.0
	for _, text := range texts {
		p, err := parsePlace(text)
		if err != nil {
			return nil, err
		}
		sum += p.Share
		out = append(out, p)
	}
	if len(out) > 0 && math.Abs(sum-1) > 1e-6 {
		return nil, fmt.Errorf("the shares sum to %.4g%%, not to 100%%", 100*sum)
	}
	return out, nil
}

// usualSpread is what a scenario takes for the 99th percentile of round trips, over their median.
const usualSpread = 3

func parsePlace(text string) (p v1alpha1.Place, err error) {
	wrong := fmt.Errorf("%q is no place; write it as NAME=SHARE,ROUND-TRIP[,ITS-P99], such as Quito=50%%,160ms,480ms", text)
	name, rest, found := strings.Cut(text, "=")
	parts := strings.Split(rest, ",")
	if !found || name == "" || len(parts) < 2 || len(parts) > 3 {
		return p, wrong
	}
	p.Name = name
	if p.Share = 1; parts[0] != "100%" {
		if p.Share, err = parseShare(parts[0]); err != nil {
			return p, wrong
		}
	}
	if p.RoundTrip.UnmarshalText([]byte(parts[1])) != nil || p.RoundTrip == 0 {
		return p, wrong
	}
	p.RoundTripP99 = usualSpread * p.RoundTrip
	if len(parts) == 3 && (p.RoundTripP99.UnmarshalText([]byte(parts[2])) != nil || p.RoundTripP99 <= p.RoundTrip) {
		return p, wrong
	}
	return p, nil
}
