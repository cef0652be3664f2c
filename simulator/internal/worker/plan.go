package worker

import (
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/mint"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
)

// plan is one worker's part of a swarm: a swarm.Config that can travel.
type plan struct {
	Run              uint64             `json:"run"`
	StartNs          int64              `json:"startNs"`
	FirstSession     int                `json:"firstSession"`
	Sessions         int                `json:"sessions"`
	Users            int                `json:"users"`
	Endpoints        []string           `json:"endpoints"`
	SourceAddresses  []string           `json:"sourceAddresses,omitempty"`
	JSONShare        float64            `json:"jsonShare"`
	SlowShare        float64            `json:"slowShare"`
	SlowBytes        int                `json:"slowBytesPerSecond"`
	FarShare         float64            `json:"farShare,omitempty"`
	Far              []string           `json:"far,omitempty"`
	Logs             []string           `json:"logs"`
	Attach           []swarm.Attachment `json:"attach"`
	ConnectPerSecond float64            `json:"connectPerSecond"`
	MaxConnecting    int                `json:"maxConnecting"`
	Groups           []swarm.Group      `json:"groups"`
	Posts            []swarm.PostRange  `json:"posts"`
	Loops            int                `json:"loops"`
	Seed             uint64             `json:"seed"`
	Behaviour        swarm.Behaviour    `json:"behaviour"`
	// SigningKey makes the sessions' tokens: PKCS#8 in PEM, Ed25519. They are good from Issued until Expires.
	SigningKey []byte    `json:"signingKey"`
	Issued     time.Time `json:"issued"`
	Expires    time.Time `json:"expires"`
}

// planFor cuts the k-th of n parts out of a whole swarm.
func planFor(whole Config, k, n int) *plan {
	c := whole.Swarm
	first, end := c.Sessions*k/n, c.Sessions*(k+1)/n
	p := &plan{
		Run: c.Run, StartNs: c.StartNs, FirstSession: c.FirstSession + first, Sessions: end - first, Users: c.Users,
		Endpoints: c.Endpoints, SourceAddresses: c.SourceAddresses, JSONShare: c.JSONShare,
		SlowShare: c.SlowShare, SlowBytes: c.SlowBytesPerSecond, FarShare: c.FarShare, Far: c.Far, Logs: c.Logs, Attach: c.Attach,
		ConnectPerSecond: c.ConnectPerSecond * float64(end-first) / float64(c.Sessions),
		Groups:           c.Groups, Posts: c.Posts, Loops: c.Loops, Seed: c.Seed, Behaviour: c.Behaviour,
		SigningKey: whole.SigningKey, Issued: whole.Issued, Expires: whole.Expires,
	}
	if c.MaxConnecting > 0 {
		p.MaxConnecting = max(c.MaxConnecting/n, 1)
	}
	return p
}

// config is the plan as the swarm takes it.
func (p *plan) config() (swarm.Config, error) {
	tokens, err := mint.New(p.SigningKey, p.Issued, p.Expires)
	if err != nil {
		return swarm.Config{}, err
	}
	return swarm.Config{
		Run: p.Run, StartNs: p.StartNs, FirstSession: p.FirstSession, Sessions: p.Sessions, Users: p.Users,
		Endpoints: p.Endpoints, SourceAddresses: p.SourceAddresses, JSONShare: p.JSONShare, Token: tokens.Mint,
		SlowShare: p.SlowShare, SlowBytesPerSecond: p.SlowBytes, FarShare: p.FarShare, Far: p.Far,
		Logs: p.Logs, Attach: p.Attach, ConnectPerSecond: p.ConnectPerSecond, MaxConnecting: p.MaxConnecting,
		Groups: p.Groups, Posts: p.Posts, Loops: p.Loops, Seed: p.Seed, Behaviour: p.Behaviour,
	}, nil
}
