package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// junitSuite is a run as JUnit's XML has it, for pipelines: a case for each threshold.
type junitSuite struct {
	XMLName    xml.Name        `xml:"testsuite"`
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	Failure *junitResult `xml:"failure"`
	Error   *junitResult `xml:"error"`
	Skipped *junitResult `xml:"skipped"`
	Out     string       `xml:"system-out,omitempty"`
}

type junitResult struct {
	Type    string `xml:"type,attr,omitempty"`
	Message string `xml:"message,attr"`
}

// RenderJUnit writes one test case a threshold: a failure with value and bound where it was missed, skipped with the reason
// where it is inconclusive, an error where the generator was not healthy, since then the test did not work.
func RenderJUnit(w io.Writer, r Report) error {
	suite := junitSuite{
		Name: "chatfleet." + r.Scenario, Tests: len(r.Thresholds),
		Time:      strconv.FormatFloat(float64(r.DurationMs)/1000, 'f', 3, 64),
		Timestamp: r.StartedAt.UTC().Format(time.RFC3339),
		Properties: []junitProperty{
			{"verdict", string(r.Verdict)},
			{"reasons", strings.Join(r.Reasons, "; ")},
			{"label", r.Label},
			{"sharesCoresWithFleet", strconv.FormatBool(r.Generator.SharesCoresWithFleet)},
		},
	}
	for _, t := range r.Thresholds {
		c := junitCase{Class: r.Scenario, Name: t.Title}
		switch t.Verdict {
		case verdict.Fail:
			suite.Failures++
			c.Failure = &junitResult{string(t.Verdict), fmt.Sprintf("%s; the bound is %s", t.text(), t.boundText())}
		case verdict.GeneratorUnhealthy:
			suite.Errors++
			c.Error = &junitResult{string(t.Verdict), fmt.Sprintf("%s; it was %s", t.Reason, t.text())}
		case verdict.Inconclusive:
			suite.Skipped++
			c.Skipped = &junitResult{Message: "inconclusive: " + t.Reason}
		default:
			c.Out = fmt.Sprintf("%s over %d samples; the bound is %s", t.text(), t.Samples, t.boundText())
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
