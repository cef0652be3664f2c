// Package verdict judges a run: measurements and thresholds in, a verdict with its reasons and an exit code out.
package verdict
