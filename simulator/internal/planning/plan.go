package planning

import (
	"fmt"
	"math"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/forecast"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/plain"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// Schema is the version of a plan's report.json.
const Schema = "chatfleet.io/plan/v1"

// Plan is the answer: a fleet, and how far to trust that it is enough.
type Plan struct {
	Schema string   `json:"schema"`
	Asked  Question `json:"asked"`
	// The verdicts of runs, and their exit codes.
	Verdict  verdict.Verdict `json:"verdict"`
	ExitCode int             `json:"exitCode"`
	// Why it is no pass, in sentences.
	Reasons []string `json:"reasons,omitempty"`

	Demands []Demand `json:"demands"`
	// The demand that the number of shards is from, and how many the others would be content with.
	Binding      string `json:"binding,omitempty"`
	OtherBinding string `json:"otherBinding,omitempty"`
	OtherShards  int    `json:"otherShards,omitempty"`
	// What follows is absent where no fleet meets the demands.
	*Found `json:",omitempty"`
	// The calibration, whole.
	Calibration calibration.Calibration `json:"calibration"`
}

// Found is a fleet that meets the demands, in the model.
type Found struct {
	Fleet Fleet `json:"fleet"`
	// Of the objective, with all sessions on the shards that are left.
	Answer              report.Answer       `json:"answer"`
	Grade               string              `json:"grade"`
	GradeSays           string              `json:"gradeSays"`
	ExtrapolationFactor float64             `json:"extrapolationFactor"`
	Ranges              []report.ModelRange `json:"ranges"`
	// The three that move the time most.
	Inputs     []report.Input `json:"inputs"`
	Unmodelled []string       `json:"unmodelled"`
	// Where shards may be lost.
	Loss   *Loss  `json:"loss,omitempty"`
	Hand   Hand   `json:"byHand"`
	Cost   Cost   `json:"cost"`
	Growth Growth `json:"growth"`
	// What to run, where the grade demands a test.
	Test *Test `json:"test,omitempty"`
}

// Fleet is what there has to be.
type Fleet struct {
	Shards int `json:"shards"`
	// What is left of them when those that may be lost are.
	Left int `json:"left"`
	// Of each shard.
	Cores           float64 `json:"cores"`
	MemoryBytes     int64   `json:"memoryBytes"`
	SessionsPerPod  int64   `json:"sessionsPerPod"`
	SessionsIfLost  int64   `json:"sessionsPerPodIfLost"`
	Stores          Stores  `json:"stores"`
	Partitions      int     `json:"partitions"`
	TotalCores      float64 `json:"totalCores"`
	TotalMemoryGiB  float64 `json:"totalMemoryGiB"`
	EgressGBMonthly float64 `json:"egressGBMonthly"`
}

// Loss is what the model says of losing shards.
type Loss struct {
	// Sessions that lose their connection, until all are signed in again, and the processor time that costs the others.
	Sessions    int64         `json:"sessions"`
	Back        report.Millis `json:"backMs"`
	CoreSeconds float64       `json:"coreSeconds"`
	// The time of the objective if it happens while a post is on its way to them.
	AtThePost report.Millis `json:"atThePostMs"`
}

// Make plans. An error is a defect of the question or of the program; that there is no such fleet is a plan that says so.
func Make(q Question) (Plan, error) {
	p := Plan{Schema: Schema, Asked: q, Calibration: q.Calibration}
	demands, quickest, err := q.demands()
	if err != nil {
		return Plan{}, err
	}
	p.Demands = demands
	shards := p.most()
	if p.ExitCode != 0 {
		if demands[0].Shards == 0 {
			err = p.tooSlow(quickest)
		}
		return p, err
	}
	run, err := forecast.Run(forecast.Config{Scenario: q.broadcasts(shards - q.Lose), Calibration: q.Calibration, Seeds: q.Seeds, Version: q.Version})
	if err != nil {
		return Plan{}, err
	}
	p.Found = q.found(shards, run)
	takes := time.Duration(float64(p.Answer.ValueMs) * float64(time.Millisecond))
	p.Demands[0].Used = milliseconds(takes)
	if q.Lose > 0 {
		if err := p.lose(); err != nil {
			return Plan{}, err
		}
	}
	for i := range p.Demands {
		if d := &p.Demands[i]; d.By == byDivision {
			d.Used = d.with(p.Fleet.Left)
		}
	}
	p.Growth = q.growing(p.Fleet, takes)
	p.judge(takes)
	return p, nil
}

// most finds the demand that needs most shards, and whether there can be so many.
func (p *Plan) most() (shards int) {
	for _, d := range p.Demands {
		switch {
		case d.Shards == 0:
			p.none("%s: no number of shards is enough", d.Name)
		case d.Shards > MostShards:
			p.none("%s alone takes %s shards, and a ChatCluster has at most %s", d.Name, grouped(float64(d.Shards)), grouped(MostShards))
		}
		if d.Shards > shards {
			shards, p.Binding = d.Shards, d.Name
		}
	}
	for _, d := range p.Demands {
		if d.Name != p.Binding && d.Shards > p.OtherShards {
			p.OtherShards, p.OtherBinding = d.Shards, d.Name
		}
	}
	return shards
}

// none says that there is no such fleet.
func (p *Plan) none(format string, args ...any) {
	p.Verdict, p.ExitCode = verdict.Fail, verdict.ExitFail
	p.Reasons = append(p.Reasons, fmt.Sprintf(format, args...))
}

// tooSlow says why no number of shards is quick enough: the same fleet is asked for an audience at no distance.
func (p *Plan) tooSlow(quickest time.Duration) error {
	q := p.Asked
	left := min(q.quickest(), MostShards-q.Lose)
	says := fmt.Sprintf("%s is %s at best, with %d shards left, and %s is allowed", q.Objective.figure().says, inTime(quickest), left, inTime(q.allowed(q.Objective.Within)))
	if quickest < q.Objective.Within {
		says += fmt.Sprintf(" (%s less --headroom)", q.Objective.Within)
	}
	if len(q.Places) > 0 {
		near := q
		near.Places = nil
		takes, err := near.timeWith(left)
		if err != nil {
			return err
		}
		says += fmt.Sprintf("; at no distance it would be %s", inTime(takes))
		if ways := quickest - takes; quickest != measure.Never && ways >= q.allowed(q.Objective.Within) {
			says += fmt.Sprintf(", so the round trips alone take longer (%s): what helps is a fleet nearer to the audience", inTime(ways))
		}
	}
	p.Reasons[0] = says
	return nil
}

// found is a fleet of so many shards, as far as it follows from a forecast.
func (q Question) found(shards int, run report.Run) *Found {
	m := run.Model
	left := shards - q.Lose
	f := Fleet{
		Shards: shards, Left: left, Cores: q.Pod.Cores, Stores: q.stores(shards), Partitions: q.partitions(),
		SessionsPerPod: ceil(q.Subscribers, shards), SessionsIfLost: ceil(q.Subscribers, left),
	}
	f.MemoryBytes = q.podMemory(left)
	f.TotalCores = float64(shards)*f.Cores + float64(f.Stores.Count)*f.Stores.Cores
	f.TotalMemoryGiB = rounded((float64(shards)*float64(f.MemoryBytes) + float64(f.Stores.Count)*float64(f.Stores.MemoryBytes)) / gib)
	f.EgressGBMonthly = rounded(q.PostsPerSecond * monthHours * 3600 * float64(q.Subscribers) * q.wireBytes() / 1e9)
	out := &Found{
		Fleet: f, Grade: m.Grade, GradeSays: m.GradeSays, ExtrapolationFactor: m.ExtrapolationFactor, Ranges: m.Ranges,
		Inputs: m.Inputs[:min(3, len(m.Inputs))], Unmodelled: m.Unmodelled, Hand: q.byHand(left), Cost: q.cost730(f),
	}
	for _, a := range m.Answers {
		if a.Name == q.Objective.figure().answer {
			out.Answer = a
		}
	}
	if m.Grade == "D" {
		out.Test = q.test(f)
	}
	return out
}

const (
	gib = 1 << 30
	// memoryStep is what a pod's memory is rounded up to.
	memoryStep = 64 << 20
)

// podMemory is what each of so many shards needs, with what is to be left over.
func (q Question) podMemory(left int) int64 {
	sessions := ceil(q.Subscribers, left)
	needs := (processMemory + float64(sessions)*q.Calibration.SessionBytes(q.Pod.TLS)) / q.spare()
	// Those who come before more shards are there may use the headroom up.
	grown := float64(q.Subscribers) + q.GrowthPerMinute*q.arriving().Minutes()
	needs = max(needs, processMemory+math.Ceil(grown/float64(left))*q.Calibration.SessionBytes(q.Pod.TLS))
	return min(int64(math.Ceil(rounded(needs/memoryStep)))*memoryStep, q.Pod.MemoryBytes)
}

// lose plays the loss of shards.
func (p *Plan) lose() error {
	q, f := p.Asked, p.Fleet
	back, err := q.backWith(f.Shards)
	if err != nil {
		return err
	}
	out, err := q.play(q.worst(f.Shards))
	if err != nil {
		return err
	}
	sessions := int64(q.Lose) * f.SessionsPerPod
	p.Loss = &Loss{
		Sessions: sessions, Back: millis(back), AtThePost: millis(q.Objective.of(out.Measurements)),
		CoreSeconds: rounded(float64(sessions) * q.seconds(calibration.SignIn)),
	}
	for i := range p.Demands {
		if p.Demands[i].Name == "return" {
			p.Demands[i].Used = milliseconds(back)
		}
	}
	return nil
}

// judge says whether the plan may be called one that meets the objective.
func (p *Plan) judge(takes time.Duration) {
	q := p.Asked
	p.Verdict, p.ExitCode = verdict.Inconclusive, verdict.ExitInconclusive
	if takes >= q.allowed(q.Objective.Within) {
		p.none("%s: with the %d shards that %s takes, publishing to one after the other takes too long (%s)", p.Demands[0].Name, p.Fleet.Shards, p.Binding, inTime(takes))
		return
	}
	if p.Grade == "D" {
		p.Reasons = append(p.Reasons, "grade D: "+p.GradeSays)
	}
	if high := p.Answer.HighMs; float64(high) >= milliseconds(q.Objective.Within) {
		p.Reasons = append(p.Reasons, fmt.Sprintf("the interval of the %s reaches to %s, and the bound is %s: ask for more --headroom", q.Objective.figure().says, plain.Millis(high), q.Objective.Within))
	}
	if q.Lose > 0 && float64(p.Loss.Back) >= milliseconds(q.allowed(q.BackWithin)) {
		p.Reasons = append(p.Reasons, fmt.Sprintf("with %d shards the lost sessions are back after %s, later than with fewer", p.Fleet.Shards, plain.Millis(p.Loss.Back)))
	}
	if len(p.Reasons) == 0 {
		p.Verdict, p.ExitCode = verdict.Pass, verdict.ExitPass
	}
}

func ceil(n int64, parts int) int64 { return (n + int64(parts) - 1) / int64(parts) }

func millis(d time.Duration) report.Millis {
	if d == measure.Never {
		return report.Millis(math.Inf(1))
	}
	return report.Millis(milliseconds(d))
}
