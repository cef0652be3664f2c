package forecast

import (
	"math"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/model"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

// fanPoints is how many audiences the first answer is played for: one within what was measured, the largest that was measured, the scenario's own, and some between.
const fanPoints = 6

// fan plays the same fleet with smaller audiences, from within what was measured on, so that it can be seen how the answer comes about. There is none
// where that would take long: of windows, of a cascade, and of what breaks; nor where the audience is within what was measured.
func fan(m *report.Model, c Config, fleet model.Fleet) error {
	s := c.Scenario
	asked, measured := float64(s.Population.Sessions()), c.Calibration.Range(calibration.Sessions).To
	if s.Phases.Windows != nil || s.Cascade != nil || len(s.Faults) > 0 || measured <= 0 || asked <= measured || len(m.Answers) == 0 {
		return nil
	}
	sizes := []float64{max(c.Calibration.Range(calibration.Sessions).From, measured/10)}
	for k := range fanPoints - 2 {
		sizes = append(sizes, measured*math.Pow(asked/measured, float64(k)/(fanPoints-2)))
	}
	for _, sessions := range sizes {
		p, metric, err := fanPoint(c, fleet, sessions/asked)
		if err != nil {
			return err
		}
		if metric == "" { // With so few nothing comes of it.
			m.Fan = nil
			return nil
		}
		m.FanMetric = metric
		m.Fan = append(m.Fan, p)
	}
	a := m.Answers[0]
	m.Fan = append(m.Fan, report.FanPoint{Sessions: asked, ValueMs: a.ValueMs, LowMs: a.LowMs, HighMs: a.HighMs})
	m.FanMeasuredTo = measured
	return nil
}

// fanPoint is the first answer of a share of the audience, with the interval that the coefficients make; one seed.
func fanPoint(c Config, fleet model.Fleet, share float64) (report.FanPoint, string, error) {
	smaller := *c.Scenario
	smaller.Population.Subscribers = max(int(math.Round(float64(smaller.Population.Subscribers)*share)), 1)
	if f := smaller.Phases.Connect; f.RatePerSecond > 0 {
		smaller.Phases.Connect = v1alpha1.Connect{RatePerSecond: max(f.RatePerSecond*share, 1)}
	}
	in := model.Input{Scenario: &smaller, Fleet: fleet, Calibration: c.Calibration, Seed: smaller.Seed, Brief: true}
	moves := movesOf(in)
	plays := []model.Input{in}
	for _, m := range moves {
		plays = append(plays, m.input)
	}
	outcomes, err := playAll(plays)
	if err != nil {
		return report.FanPoint{}, "", err
	}
	base := answersOf(outcomes[0])
	if len(base) == 0 {
		return report.FanPoint{}, "", nil
	}
	for k := range moves {
		moves[k].answers = answersOf(outcomes[1+k])
	}
	half := assessment{base: base, moves: moves}.half(0) + math.Log1p(modelError(c.Calibration))
	ms := base[0].ms
	return report.FanPoint{
		Sessions: float64(smaller.Population.Sessions()), ValueMs: report.Millis(ms), LowMs: report.Millis(rounded(ms * math.Exp(-half))), HighMs: report.Millis(rounded(ms * math.Exp(half))),
	}, base[0].metric, nil
}
